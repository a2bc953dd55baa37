"""Warehouses that published loads are brought into; `configured` makes those of the settings."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from functools import partial
from urllib.parse import unquote

from moderation.errors import ModerationError, WarehouseUnusableError
from moderation.settings import Settings
from moderation.tables.published import read_loads
from moderation.warehouses import missing
from moderation.warehouses.base import Warehouse
from moderation.warehouses.duckdb import DuckDBWarehouse
from moderation.warehouses.folder import FolderMirror

ConnectionUri = Callable[[str], str]
"""Gives the URI of a named connection; an orchestrator keeps these, passwords included."""

_log = logging.getLogger(__name__)

_SCHEMA = re.compile(r"[?&]schema=([^&]*)")


def configured(settings: Settings, *, connection_uri: ConnectionUri | None = None) -> list[Warehouse]:
    """The warehouses that ``MODERATION_WAREHOUSES`` names, in its order.

    Without the variable: the DuckDB file, and the folder mirror when one is set.

    :param connection_uri: resolves the names of ``airflow:<connection id>``.
    :raises WarehouseError: one of them cannot be made; the message names no password.
    """
    return [_made(settings, entry, connection_uri) for entry in _entries(settings)]


def each(
    settings: Settings, *, connection_uri: ConnectionUri | None = None
) -> Iterator[tuple[str, Callable[[], Warehouse]]]:
    """What kind each configured warehouse is of, and what makes it: one that fails keeps no other away."""
    for entry in _entries(settings):
        kind = next((begins for begins in KINDS if entry.startswith(begins)), entry.partition(":")[0])
        yield kind.rstrip(":"), partial(_made, settings, entry, connection_uri)


def _entries(settings: Settings) -> tuple[str, ...]:
    if settings.warehouses:
        return settings.warehouses
    return ("duckdb", "folder") if settings.parquet_mirror is not None else ("duckdb",)


def note_published(settings: Settings) -> None:
    """Tell who reads the DuckDB file what is published, before it is brought in: that may never begin.

    Where no such file is on this machine nobody reads it here. What is published already stays so: when it
    cannot be noted the log says so, and the next load notes it.
    """
    if settings.warehouses and "duckdb" not in settings.warehouses:
        return
    if not settings.warehouse_path.exists():
        return
    try:
        known = read_loads(settings).column("load_id").to_pylist()
        missing.note_published(settings.warehouse_path, known)
    except (ModerationError, OSError):
        _log.warning(
            "%s: readers are not told yet of what was published", settings.warehouse_path, exc_info=True
        )


def _made(settings: Settings, entry: str, connection_uri: ConnectionUri | None) -> Warehouse:
    for begins, make in KINDS.items():
        if entry.startswith(begins):
            return make(settings, entry, connection_uri)
    raise WarehouseUnusableError(f"an entry of MODERATION_WAREHOUSES begins with none of {', '.join(KINDS)}")


def _of_connection(settings: Settings, entry: str, connection_uri: ConnectionUri | None) -> Warehouse:
    """The PostgreSQL of a connection that an orchestrator keeps."""
    name = entry.removeprefix("airflow:")
    if connection_uri is None:
        raise WarehouseUnusableError(
            f"the warehouse airflow:{name} is an Airflow connection and this is not an Airflow task; "
            "set MODERATION_WAREHOUSES to its postgresql:// URI here"
        )
    return _postgres(settings, connection_uri(name))


def _postgres(settings: Settings, uri: str) -> Warehouse:
    """A PostgreSQL warehouse; ``schema=name`` among the URI's parameters is ours, the others are libpq's."""
    try:
        # Optional: only a user of PostgreSQL needs psycopg.
        from moderation.warehouses.postgres import PostgresWarehouse  # noqa: PLC0415
    except ImportError as error:
        raise WarehouseUnusableError(
            f"PostgreSQL needs psycopg: pip install 'psycopg[binary]' ({error})"
        ) from error
    named = _SCHEMA.search(uri)
    if not named:
        return PostgresWarehouse(settings, uri)
    plain = uri[: named.start()] + uri[named.end() :]
    if uri[named.start()] == "?":
        plain = plain.replace("&", "?", 1) if plain[named.start() :].startswith("&") else plain
    return PostgresWarehouse(settings, plain, schema=unquote(named[1]))


KINDS: dict[str, Callable[[Settings, str, ConnectionUri | None], Warehouse]] = {
    "duckdb": lambda settings, _entry, _uri: DuckDBWarehouse(settings),
    "folder": lambda settings, _entry, _uri: FolderMirror(settings),
    "postgres": lambda settings, entry, _uri: _postgres(settings, entry),
    "airflow:": _of_connection,
}
"""What makes the warehouse of an entry that begins so; a new kind is a module here and a row of the table."""
