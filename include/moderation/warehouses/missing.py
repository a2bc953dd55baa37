"""What a DuckDB file lacks of all that is published, told by a small file beside it.

``.warehouse.duckdb.published.json`` is written each time that loads are about to be brought in, before the
file itself is touched: so it outlives a file that is lost, replaced, set back, or was held by somebody for
too long, and who reads the file needs neither S3 nor a catalog to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb

from moderation.schema import LOADS, TABLES
from moderation.storage.state import SealBroken, seal, unseal
from moderation.storage.whole_file import write_whole
from moderation.tables.outcomes import OF_LOADS
from moderation.warehouses.base import whole


def note_published(warehouse: Path, load_ids: Iterable[str]) -> None:
    """Remember what is published and should be in the file.

    :raises OSError: the folder cannot be written to.
    """
    write_whole(_beside(warehouse), seal({"load_ids": sorted(load_ids)}), mode=0o600)


def held_digests(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Digests of the loads that the file holds, by id: loads of two installs can have the same id."""
    return {load["load_id"]: load["digest"] for load in _held(connection) if "digest" in load}


def lacks_tables(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether a table that belongs to loads is not in the file."""
    return not TABLES.keys() <= _tables(connection)


def _held(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    return _complete(connection, _loads(connection))


def _loads(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Rows of the file's own `loads`."""
    if LOADS.name not in _tables(connection):
        return []
    loads = connection.sql(f"SELECT * FROM {_place(connection)}.{LOADS.name}").to_arrow_table()  # noqa: S608 - quoted, here and below
    return loads.to_pylist() if "load_id" in loads.column_names else []


def _complete(connection: duckdb.DuckDBPyConnection, loads: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those of the loads of which every row is there."""
    place = _place(connection)
    counts: dict[str, dict[str, int]] = {}
    for name in _tables(connection) & {table.name for table in OF_LOADS}:
        counted = f"SELECT load_id, count(*) FROM {place}.{name} GROUP BY ALL"  # noqa: S608
        counts[name] = dict(connection.execute(counted).fetchall())
    complete = whole(loads, counts)
    return [load for load in loads if load["load_id"] in complete]


def _place(connection: duckdb.DuckDBPyConnection) -> str:
    """Where the file's own tables are, whatever view of the same name is before them."""
    ((catalog,),) = connection.execute("SELECT current_catalog()").fetchall()
    return '"' + catalog.replace('"', '""') + '".main'


def _tables(connection: duckdb.DuckDBPyConnection) -> set[str]:
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' AND NOT internal "
        "AND NOT temporary AND database_name = current_catalog()"
    )
    return {name for (name,) in found.fetchall()}


def told(warehouse: Path | str, connection: duckdb.DuckDBPyConnection, *, command: str) -> str | None:
    """What the file lacks of the published loads, and what it holds besides; None when it holds just these.

    None, too, when nobody has told what there are.

    :param connection: to the file.
    :param command: how a person calls the command line.
    """
    try:
        published = set(unseal(_beside(Path(warehouse)).read_bytes())["load_ids"])
    except (OSError, SealBroken, KeyError, TypeError):
        return None  # the next load writes it anew
    loads = _loads(connection)
    lines = []
    if lacking := len(published - {load["load_id"] for load in _complete(connection, loads)}):
        lines.append(f"the warehouse lacks {lacking:,} of {len(published):,} published loads: {command} load")
    if others := {load["load_id"] for load in loads} - published:
        lines.append(
            f"the warehouse holds what is not published here, of another install, and every answer counts "
            f"it: {min(others)}{', …' if len(others) > 1 else ''}. Move {warehouse} away, then {command} load"
        )
    return "; ".join(lines) or None


def _beside(warehouse: Path) -> Path:
    return warehouse.with_name(f".{warehouse.name}.published.json")
