"""Opening the DuckDB warehouse to read it, beside a pipeline that may be loading into it."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import duckdb

from moderation.errors import WarehouseBusyError, WarehouseMissingError, WarehouseUnusableError
from moderation.policy import thresholds
from moderation.schema import IMAGES, LABELS
from moderation.settings import Settings
from moderation.variables.machine import MachineSettings
from moderation.warehouses.views import in_use

DEFAULT_WAIT_SECONDS = 30.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
_THREADS = 4
_SCOPED = (
    *("images", "labels_l1", "labels_l2", "labels_l3", "labels", "jobs", "anomalies", "loads"),
    *("labels_verified", "images_decided"),
)

# What reading a damaged file raises, wherever in it the damage is; none of it is the fault of the SQL.
_OF_THE_FILE = (
    duckdb.IOException,
    duckdb.InternalException,
    duckdb.FatalException,
    duckdb.SerializationException,
)


@contextmanager
def open_warehouse(
    path: Path | str,
    *,
    wait_seconds: float = DEFAULT_WAIT_SECONDS,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A read-only connection to the DuckDB file, closed at the end of the block. Times are UTC.

    DuckDB lets many processes read or one write. While a load writes, this waits.

    :param path: the file.
    :param wait_seconds: how long to wait for a writer, at most; 0 tries once.
    :param load_id: show only this load: every table then holds its rows alone.
    :param since: show only days (``dt``) from this one on.
    :param until: show only days up to this one.
    :raises WarehouseMissingError: there is no file.
    :raises WarehouseBusyError: a writer kept it longer than the wait.
    :raises WarehouseUnusableError: it is no DuckDB file, not readable, open for writing in this process, or
        has no such load.
    """
    connection = _connect(Path(path), wait_seconds)
    try:
        quiet(connection)
        show_only(connection, path, load_id=load_id, since=since, until=until)
        show_in_use(connection)
        yield connection
    except duckdb.Error as error:
        # A block whose checksum does not fit is an Error of no class of its own.
        if not isinstance(error, _OF_THE_FILE) and type(error) is not duckdb.Error:
            raise
        raise WarehouseUnusableError(
            f"{path}: cannot be read: {_first_line(error)}; {_made_anew()}"
        ) from error
    finally:
        connection.close()


def tables(connection: duckdb.DuckDBPyConnection) -> list[tuple[str, int | None]]:
    """Tables and views of the warehouse with their rows, views without a count."""
    rows = connection.execute(
        "SELECT table_name, estimated_size FROM duckdb_tables() WHERE NOT internal AND NOT temporary "
        "UNION ALL SELECT view_name, NULL FROM duckdb_views() WHERE NOT internal AND NOT temporary "
        "ORDER BY 1"
    )
    return rows.fetchall()


def _connect(path: Path, wait_seconds: float) -> duckdb.DuckDBPyConnection:
    if not path.is_file():
        raise WarehouseMissingError(
            f"{path}: no such warehouse. Run the pipeline once, or name the file with --warehouse or "
            "MODERATION_WAREHOUSE."
        )
    deadline = time.monotonic() + wait_seconds
    pause = _FIRST_PAUSE
    while True:
        try:
            return duckdb.connect(str(path), read_only=True)
        except duckdb.IOException as error:
            if "lock on file" not in str(error):
                raise WarehouseUnusableError(
                    f"{path}: cannot be read: {_first_line(error)}; {_made_anew()}"
                ) from error
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise WarehouseBusyError(_busy(path, wait_seconds, str(error))) from error
            time.sleep(min(pause, remaining))
            pause = min(2 * pause, _LONGEST_PAUSE)
        except duckdb.ConnectionException as error:
            raise WarehouseUnusableError(
                f"{path}: this process has it open for writing; close it first"
            ) from error
        except duckdb.Error as error:
            raise WarehouseUnusableError(
                f"{path}: cannot be read: {_first_line(error)}; {_made_anew()}"
            ) from error


def _busy(path: Path, wait_seconds: float, message: str) -> str:
    holder = re.search(r"held in ([^(]+?) \(PID (\d+)\)", message)
    who = f"process {holder[2]} ({holder[1]})" if holder else "another process"
    return f"{path}: {who} is writing to it, still after {wait_seconds:g} s. Try again, or wait longer."


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]


def quiet(connection: duckdb.DuckDBPyConnection) -> None:
    """Times in UTC, and no progress bar: it would stand among the rows of an answer that goes to a file."""
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")


@contextmanager
def bounded(
    connection: duckdb.DuckDBPyConnection, *, memory: str | None = None, in_order: bool = False
) -> Iterator[None]:
    """For the length of the block, queries take so much memory at most; what does not fit lies on the disk.

    Left alone, DuckDB takes 80 % of a machine that it shares with other tasks. Each of its threads needs
    room, so it gets four at most.

    :param memory: ``2GB``; None: what ``MODERATION_DUCKDB_MEMORY`` says, 192 MB without it.
    :param in_order: whether rows come as they lie where a query asks for no order; otherwise in any.
    :raises SettingsError: that is no amount of memory.
    """
    with tempfile.TemporaryDirectory(prefix="moderation-duckdb-") as folder:
        quoted = folder.replace("'", "''")
        connection.execute(f"SET temp_directory = '{quoted}'")
        connection.execute(f"SET memory_limit = '{memory or MachineSettings.from_env().duckdb_memory}'")
        connection.execute(f"SET preserve_insertion_order = {'true' if in_order else 'false'}")
        connection.execute("SELECT current_setting('threads')")
        (threads,) = connection.fetchone() or (1,)
        connection.execute(f"SET threads = {min(int(threads), _THREADS)}")
        yield


def show_in_use(connection: duckdb.DuckDBPyConnection) -> None:
    """Temporary views of what counts by the thresholds as they are now, whatever they were at the last load.

    :raises moderation.policy.thresholds.ThresholdsError: the file of thresholds cannot be used.
    """
    rows = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND database_name = "
        "current_catalog() ORDER BY column_index"
    )
    columns: dict[str, tuple[str, ...]] = {}
    for table, column in rows.fetchall():
        columns[table] = (*columns.get(table, ()), column)
    if not {IMAGES.name, *(table.name for table in LABELS.values())} <= columns.keys():
        return  # no warehouse of ours: the first query says so
    dialect = in_use.Dialect(create="CREATE OR REPLACE TEMP VIEW")
    for name, statement in in_use.views(thresholds.in_use(), dialect, columns=columns).items():
        if name != "labels_in_use" or "labels" in columns:  # early releases made no such view
            connection.execute(statement)


def days_condition(since: date | None, until: date | None) -> str:
    """SQL, also Iceberg's, for days from one to another; empty when neither is given."""
    parts = [f"dt >= '{since.isoformat()}'"] if since else []
    parts += [f"dt <= '{until.isoformat()}'"] if until else []
    return " AND ".join(parts)


def show_only(
    connection: duckdb.DuckDBPyConnection,
    place: Path | str,
    *,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
) -> None:
    """Temporary views come before the tables of the same name, so every query sees these rows alone.

    :param place: the file, for messages.
    :raises WarehouseError: there is no such load.
    """
    condition = days_condition(since, until)
    names = {name for name, _ in tables(connection)}
    if load_id is not None:
        known = (
            "loads" in names
            and connection.execute("SELECT 1 FROM loads WHERE load_id = ? LIMIT 1", [load_id]).fetchone()
        )
        if not known:
            raise WarehouseUnusableError(
                f"{place}: there is no load {load_id!r}; `{Settings.from_env().command} query loads` "
                "lists them"
            )
        wanted = load_id.replace("'", "''")
        condition = " AND ".join(part for part in (condition, f"load_id = '{wanted}'") if part)
    if not condition:
        return
    (catalog,) = connection.execute("SELECT current_catalog()").fetchone() or ("",)
    source = catalog.replace('"', '""')
    for name in _SCOPED:
        if name in names:
            connection.execute(
                f'CREATE TEMP VIEW "{name}" AS '  # noqa: S608 - a view takes no parameters; all is quoted
                f'SELECT * FROM "{source}".main."{name}" WHERE {condition}'
            )


def _made_anew() -> str:
    return f"if it is damaged, move it away, then `{Settings.from_env().command} load` makes it anew"
