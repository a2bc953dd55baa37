"""What a DuckDB file lacks of all that is published, told by a small file beside it.

``.warehouse.duckdb.published.json`` is written each time that loads are about to be brought in, before the
file itself is touched: so it outlives a file that is lost, replaced, set back, or was held by somebody for
too long, and who reads the file needs neither S3 nor a catalog to know.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import duckdb

from moderation.schema import LOADS
from moderation.storage.state import SealBroken, seal, unseal
from moderation.storage.whole_file import write_whole


def note_published(warehouse: Path, load_ids: Iterable[str]) -> None:
    """Remember what is published and should be in the file.

    :raises OSError: the folder cannot be written to.
    """
    write_whole(_beside(warehouse), seal({"load_ids": sorted(load_ids)}), mode=0o600)


def held_digests(connection: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """Digests of the loads that the file holds, by id: loads of two installs can have the same id."""
    if not held(connection):
        return {}
    loads = connection.table(f"main.{LOADS.name}")
    return dict(loads.select("load_id", "digest").fetchall()) if "digest" in loads.columns else {}


def held(connection: duckdb.DuckDBPyConnection) -> set[str]:
    """Ids of the loads that the file holds."""
    known = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE table_name = ? AND NOT internal AND NOT temporary", [LOADS.name]
    )
    if not known.fetchone():
        return set()
    (catalog,) = connection.execute("SELECT current_catalog()").fetchone() or ("",)
    place = '"' + catalog.replace('"', '""') + f'".main.{LOADS.name}'
    return {load_id for (load_id,) in connection.execute(f"SELECT load_id FROM {place}").fetchall()}  # noqa: S608 - quoted


def told(warehouse: Path | str, connection: duckdb.DuckDBPyConnection, *, command: str) -> str | None:
    """One line about the loads that the file lacks; None when it has all, or nobody has told what there are.

    :param connection: to the file.
    :param command: how a person calls the command line.
    """
    try:
        published = set(unseal(_beside(Path(warehouse)).read_bytes())["load_ids"])
    except (OSError, SealBroken, KeyError, TypeError):
        return None  # the next load writes it anew
    lacking = len(published - held(connection))
    if not lacking:
        return None
    return f"the warehouse lacks {lacking:,} of {len(published):,} published loads: {command} load"


def _beside(warehouse: Path) -> Path:
    return warehouse.with_name(f".{warehouse.name}.published.json")
