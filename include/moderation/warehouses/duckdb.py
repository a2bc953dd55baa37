"""One DuckDB file with every table, loaded in one transaction a load, usable with no server running."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.errors import (
    WarehouseBusyError,
    WarehouseError,
    WarehouseUnavailableError,
    WarehouseUnusableError,
    kin,
)
from moderation.policy import sql, thresholds
from moderation.policy.thresholds import Thresholds
from moderation.reference.library_errors import is_disk_full
from moderation.schema import IMAGES, LABELS, TABLES, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage.duckdb_stream import streamed
from moderation.storage.whole_file import whole_file
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesError
from moderation.tables.published import published_load, scan
from moderation.tables.standing import STANDING
from moderation.warehouses import missing
from moderation.warehouses.base import check_rows
from moderation.warehouses.load_files import read_load
from moderation.warehouses.reading import bounded, quiet
from moderation.warehouses.sql import name as quoted_name
from moderation.warehouses.sql import with_origin
from moderation.warehouses.views import in_use, verdict_views

DEFAULT_WAIT_SECONDS = 60.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

TYPES = {
    pa.string(): "VARCHAR",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}
"""DuckDB's name of each type of `moderation.schema`."""


class DuckDBWarehouse:
    """The warehouse file of the settings.

    Tables are those of `moderation.schema` and `tables.standing`; the view ``labels`` unites the label
    tables, with ``level``, and those of `verdict_views` say what people decided.

    :param wait_seconds: how long to wait for another process that has the file open.
    """

    def __init__(self, settings: Settings, *, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
        self._settings = settings
        self._path = Path(settings.warehouse_path)
        self._wait_seconds = wait_seconds

    def load(self, load_id: str) -> dict[str, int]:
        """Copy the load's rows into the file, all in one transaction.

        :returns: rows by table.
        :raises WarehouseBusyError: another process kept the file open for longer than the wait.
        :raises WarehouseError: no such published load or not all of it, no DuckDB file, or a full disk.
        """
        with open_catalog(self._settings) as catalog:
            load = published_load(catalog, load_id)
            with self._connect() as connection, self._named_errors(f"load {load_id}"):
                return self._copy(connection, catalog, load)

    def load_standing(self) -> dict[str, int]:
        """Replace the tables that belong to no load, all in one transaction.

        :returns: rows by table.
        :raises WarehouseBusyError: another process kept the file open for longer than the wait.
        :raises WarehouseError: no DuckDB file, or a full disk.
        """
        with (
            open_catalog(self._settings) as catalog,
            self._connect() as connection,
            self._named_errors("what people decided"),
            _transaction(connection),
        ):
            for table in TABLES.values():
                _prepare(connection, table)
            rows = {}
            for table in STANDING.values():
                _prepare(connection, table)
                connection.execute(f"DELETE FROM {table.name}")  # noqa: S608 - a name of ours
                batches = scan(load_table(catalog, table), table, table.schema.names)
                _insert(connection, table, batches)
                ((rows[table.name],),) = connection.sql(f"SELECT count(*) FROM {table.name}").fetchall()  # noqa: S608 - a name of ours
            _make_views(connection)
        return rows

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except TablesError as error:
            raise kin(WarehouseError, like=error)(
                f"{self._path}: {what} is not loaded, the file is as before: {error}"
            ) from error
        except (duckdb.Error, OSError) as error:
            raise _kind(error)(
                f"{self._path}: {what} is not loaded, the file is as before: "
                f"{type(error).__name__}: {_first_line(error)}; run the load task again"
            ) from error

    def lacks(self, loads: Sequence[dict[str, Any]]) -> list[str]:
        """Ids of those published loads that the file does not hold whole, in the order given.

        :raises WarehouseBusyError: another process kept the file open for longer than the wait.
        :raises WarehouseError: no DuckDB file.
        """
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Before the file is opened: somebody may hold it, or it may be damaged.
        missing.note_published(self._path, [load["load_id"] for load in loads])
        held: dict[str, str] = {}
        incomplete = False
        if self._path.exists():
            with self._connect() as connection:
                held = missing.held_digests(connection)
                incomplete = missing.lacks_tables(connection)
        lacking = [load["load_id"] for load in loads if held.get(load["load_id"]) != load["digest"]]
        if incomplete and loads and not lacking:
            return [loads[-1]["load_id"]]  # a load makes every table, those without rows too
        return lacking

    def erase(self, load_ids: Sequence[str]) -> None:
        """See `base.Warehouse`: then the file is written anew, for DuckDB keeps the bytes of deleted rows."""
        if not self._path.exists():
            return
        for load_id in load_ids:
            self.load(load_id)
        self.load_standing()
        with self._connect() as connection, self._named_errors("the file without deleted rows"):
            connection.execute("CHECKPOINT")
            with whole_file(self._path, mode=self._path.stat().st_mode & 0o777) as unfinished:
                _copy_database(connection, unfinished)
        self._path.with_name(f"{self._path.name}.wal").unlink(missing_ok=True)

    def refresh(self, *, new_columns: bool = False) -> None:
        """See `base.Warehouse`."""
        if not self._path.exists():
            return
        wanted = thresholds.in_use()
        with self._connect() as connection:
            known = connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
            if ("labels",) not in known:
                return
            connection.begin()
            for statement in _in_use(wanted):
                connection.execute(statement)
            connection.commit()

    def _copy(
        self, connection: duckdb.DuckDBPyConnection, catalog: Catalog, load: dict[str, Any]
    ) -> dict[str, int]:
        rows = {}
        with _transaction(connection):
            for table in TABLES.values():
                _prepare(connection, table)
                connection.execute(f"DELETE FROM {table.name} WHERE load_id = ?", [load["load_id"]])  # noqa: S608 - a name of ours
                _insert(connection, table, read_load(catalog, table, load))
                (count,) = connection.execute(
                    f"SELECT count(*) FROM {table.name} WHERE load_id = ?",  # noqa: S608 - a name of ours
                    [load["load_id"]],
                ).fetchone() or (0,)
                check_rows(load, table, count)
                rows[table.name] = count
            for table in STANDING.values():
                _prepare(connection, table)
            _make_views(connection)
        return rows

    @contextmanager
    def _connect(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = self._open()
        try:
            quiet(connection)
            with bounded(connection):
                yield connection
        finally:
            connection.close()

    def _open(self) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._wait_seconds
        pause = _FIRST_PAUSE
        while True:
            try:
                self._make()
                return duckdb.connect(str(self._path))
            except (duckdb.IOException, duckdb.ConnectionException, OSError) as error:
                # Another process holds a lock, or this one has the file open read-only.
                busy = isinstance(error, duckdb.ConnectionException | BlockingIOError)
                if "lock on file" not in str(error) and not busy:
                    raise WarehouseUnusableError(self._unusable(error)) from error
                remaining = deadline - time.monotonic()
                if remaining <= 0:
                    raise WarehouseBusyError(self._busy(str(error))) from error
                time.sleep(min(pause, remaining))
                pause = min(2 * pause, _LONGEST_PAUSE)
            except duckdb.Error as error:
                raise WarehouseUnusableError(self._unusable(error)) from error

    def _make(self) -> None:
        """Put an empty database in place where there is none, whole from the first moment.

        DuckDB makes the file first and writes its header afterwards: a process that is killed in between, or
        two that begin at once, leave a file of no bytes that nobody can open any more.

        :raises BlockingIOError: another process does the same.
        """
        if self._path.exists() and self._path.stat().st_size:
            return
        unfinished = self._path.with_name(f".{self._path.name}.tmp")
        folder = os.open(self._path.parent, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not self._path.exists() or not self._path.stat().st_size:
                unfinished.unlink(missing_ok=True)
                duckdb.connect(str(unfinished)).close()
                unfinished.replace(self._path)
        finally:
            os.close(folder)

    def _unusable(self, error: Exception) -> str:
        return (
            f"{self._path}: cannot be opened: {_first_line(error)}. If the file is damaged, move it away and "
            f"run `{self._settings.command} load`: every published load is brought in again"
        )

    def _busy(self, message: str) -> str:
        holder = re.search(r"held in ([^(]+?) \(PID (\d+)\)", message)
        who = f"process {holder[2]} ({holder[1]})" if holder else "another connection"
        return (
            f"{self._path}: {who} has it open, still after {self._wait_seconds:g} s; close it and run "
            "the load task again"
        )


def _kind(error: duckdb.Error | OSError) -> type[WarehouseError]:
    """Most of what stops a load passes."""
    no_room = isinstance(error, duckdb.OutOfMemoryException) or "No space left" in str(error)
    return WarehouseUnusableError if no_room or is_disk_full(error) else WarehouseUnavailableError


def _copy_database(connection: duckdb.DuckDBPyConnection, target: Path) -> None:
    """Everything that the database holds, comments included, into a new file."""
    target.unlink()  # an empty file is no database to DuckDB
    ((name,),) = connection.execute("SELECT current_catalog()").fetchall()
    connection.execute(f"ATTACH {_quoted(str(target))} AS copied")
    try:
        connection.execute(f"COPY FROM DATABASE {quoted_name(name)} TO copied")
    finally:
        connection.execute("DETACH copied")


@contextmanager
def _transaction(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.begin()
    try:
        yield
        connection.commit()
    except BaseException:
        connection.rollback()
        raise


def _insert(
    connection: duckdb.DuckDBPyConnection, table: TableSpec, batches: Iterator[pa.RecordBatch]
) -> None:
    with streamed(connection, "incoming", physical_schema(table), batches):
        connection.execute(f"INSERT INTO {table.name} BY NAME SELECT * FROM incoming")  # noqa: S608 - a name of ours


def _make_views(connection: duckdb.DuckDBPyConnection) -> None:
    for statement in (labels_view(), *verdicts_views(), *sql.macros(), *_in_use(thresholds.in_use())):
        connection.execute(statement)


def verdicts_views() -> list[str]:
    """SQL of the views over what people decided; they read ``verdicts``, ``labels`` and ``images``."""
    selects = verdict_views.selects(verdict_views.DUCKDB, quoted_name)
    return [f"CREATE OR REPLACE VIEW {view} AS {select}" for view, select in selects.items()]


def _in_use(wanted: Thresholds) -> list[str]:
    return list(in_use.views(wanted, in_use.Dialect()).values())


def labels_view() -> str:
    """SQL of the view that unites the label tables; ``level`` tells them apart, ``origin`` is the image's."""
    parts = [f"SELECT {level} AS level, * FROM {table.name}" for level, table in LABELS.items()]  # noqa: S608 - names of ours
    union = " UNION ALL BY NAME ".join(parts)
    return f"CREATE OR REPLACE VIEW labels AS {with_origin(union, IMAGES.name)}"


def _prepare(connection: duckdb.DuckDBPyConnection, table: TableSpec) -> None:
    """Make the table, or add the columns that a later release brought."""
    columns = {entry.name: entry for entry in table.schema}
    known = {
        name
        for (name,) in connection.execute(
            "SELECT column_name FROM duckdb_columns() WHERE table_name = ? AND NOT internal", [table.name]
        ).fetchall()
    }
    if not known:
        body = ", ".join(f'"{name}" {TYPES[entry.type]}' for name, entry in columns.items())
        connection.execute(f"CREATE TABLE {table.name} ({body})")
        connection.execute(f"COMMENT ON TABLE {table.name} IS {_quoted(table.doc)}")
    for name, entry in columns.items():
        if known and name not in known:
            connection.execute(f'ALTER TABLE {table.name} ADD COLUMN "{name}" {TYPES[entry.type]}')
        if name not in known:
            doc = entry.metadata[b"doc"].decode()
            connection.execute(f'COMMENT ON COLUMN {table.name}."{name}" IS {_quoted(doc)}')


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
