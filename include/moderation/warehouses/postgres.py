"""PostgreSQL: each load streamed by COPY into temporary tables and merged in the same transaction.

Readers see all of a load or nothing of it. Needs PostgreSQL 12 or later and ``psycopg``.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
import pyarrow as pa
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row
from pyiceberg.catalog import Catalog

from moderation.errors import (
    WarehouseBusyError,
    WarehouseError,
    WarehouseUnavailableError,
    WarehouseUnusableError,
    kin,
)
from moderation.policy import thresholds
from moderation.reference.library_errors import named
from moderation.schema import LOADS, TABLES, TableSpec
from moderation.settings import Settings
from moderation.tables.catalog import NAMESPACE, load_table, open_catalog
from moderation.tables.outcomes import OF_LOADS
from moderation.tables.published import published_load, scan
from moderation.tables.standing import ALL_TABLES, STANDING
from moderation.warehouses import sql
from moderation.warehouses.base import check_rows, whole
from moderation.warehouses.csv_rows import as_csv
from moderation.warehouses.load_files import read_load
from moderation.warehouses.views import in_use, postgres_views, verdict_views
from moderation.warehouses.views.postgres_views import TYPES, Columns

log = logging.getLogger(__name__)

DEFAULT_WAIT_SECONDS = 60.0

# A server that is gone is noticed within about a minute; what the URI says comes first.
_CONNECTION_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
    "application_name": "moderation",
}

_LOGIN_REFUSED = re.compile(r"authentication failed|no pg_hba|does not exist|no password")


class PostgresWarehouse:
    """A schema of a PostgreSQL database with the tables of `moderation.schema` and the view ``labels``.

    :param uri: a libpq URI. Its password appears in no message.
    :param schema: made when missing.
    :param wait_seconds: how long to wait for another load, or for a lock that somebody holds on a table.
    :raises WarehouseError: the URI cannot be read.
    """

    def __init__(
        self,
        settings: Settings,
        uri: str,
        *,
        schema: str = NAMESPACE,
        wait_seconds: float = DEFAULT_WAIT_SECONDS,
    ) -> None:
        self._settings = settings
        self._schema = schema
        self._wait_seconds = wait_seconds
        try:
            given = conninfo_to_dict(uri)
        except psycopg.Error:
            # libpq quotes the URI, or the part with the password, so its own message stays out.
            raise WarehouseUnusableError(
                "a PostgreSQL URI cannot be read; expected postgresql://user:password@host:5432/database, "
                "with reserved characters percent-encoded"
            ) from None
        self._conninfo = make_conninfo("", **{**_CONNECTION_DEFAULTS, **given})
        self._name = f"{given.get('host', 'localhost')}/{given.get('dbname', given.get('user', ''))}"

    def load(self, load_id: str) -> dict[str, int]:
        """Stream the load's rows into the database, all in one transaction.

        A text with a NUL character, which PostgreSQL cannot hold, gets U+2400 in its place.

        :returns: rows by table.
        :raises WarehouseBusyError: another load or a lock on a table was in the way for longer than the wait.
        :raises WarehouseError: no such published load or not all of it, or the database refused or went away.
        """
        with open_catalog(self._settings) as catalog:
            load = published_load(catalog, load_id)
            with self._named_errors(f"load {load_id}"), self._transaction() as connection:
                return self._load(connection, catalog, load)

    def load_standing(self) -> dict[str, int]:
        """Replace the tables that belong to no load, all in one transaction.

        :returns: rows by table.
        :raises WarehouseBusyError: another load or a lock on a table was in the way for longer than the wait.
        :raises WarehouseError: the database refused or went away.
        """
        rows = {}
        with (
            open_catalog(self._settings) as catalog,
            self._named_errors("what people decided"),
            self._transaction() as connection,
        ):
            self._prepare(connection)
            for table in STANDING.values():
                _run(connection, create_staging(table))
                batches = scan(load_table(catalog, table), table, table.schema.names)
                rows[table.name] = _copy(connection, table, batches)
            for table in STANDING.values():
                _run(connection, *replacement(table, self._schema))
        return rows

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except psycopg.errors.LockNotAvailable as error:
            raise WarehouseBusyError(
                f"PostgreSQL {self._name}: another load, or a lock on a table, was still in the way "
                f"after {self._wait_seconds:g} s; nothing of {what} is loaded, run the load task again"
            ) from error
        except (psycopg.Error, OSError) as error:
            raise _kind(error)(
                f"PostgreSQL {self._name}: {what} is not loaded, the tables are as before: "
                f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}; run the load task again"
            ) from error

    def lacks(self, loads: Sequence[dict[str, Any]]) -> list[str]:
        """Ids of those published loads that the schema does not hold whole, in the order given.

        :raises WarehouseError: the database refused or went away.
        """
        try:
            with self._transaction() as connection:
                held = self._held(connection, self._columns(connection))
        except (psycopg.Error, OSError) as error:
            raise _kind(error)(
                f"PostgreSQL {self._name} cannot be read: {type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0]}; run the load task again"
            ) from error
        return [load["load_id"] for load in loads if held.get(load["load_id"]) != load["digest"]]

    def _held(self, connection: psycopg.Connection[Any], there: Columns) -> dict[str, str]:
        """Digests of the loads of which every row is here, by id; the rows are counted in an index alone."""
        if not {"load_id", "digest"} <= set(there.get(LOADS.name, ())):
            return {}

        def place(table: TableSpec) -> str:
            return f"{sql.name(self._schema)}.{sql.name(table.name)}"

        with connection.cursor(row_factory=dict_row) as cursor:
            loads = cursor.execute(f"SELECT * FROM {place(LOADS)}").fetchall()  # noqa: S608 - quoted names, here and below
        counts = {
            table.name: dict(
                connection.execute(f"SELECT load_id, count(*) FROM {place(table)} GROUP BY load_id")  # noqa: S608
            )
            for table in OF_LOADS
            if table.name in there
        }
        complete = whole(loads, counts)
        return {load["load_id"]: load["digest"] for load in loads if load["load_id"] in complete}

    def erase(self, load_ids: Sequence[str]) -> None:
        """See `base.Warehouse`: rows are deleted, then VACUUM takes them out of the tables' files."""
        for load_id in load_ids:
            self.load(load_id)
        self.load_standing()
        tables = ", ".join(f"{sql.name(self._schema)}.{sql.name(name)}" for name in ALL_TABLES)
        told = "what VACUUM frees"
        with self._named_errors(told), psycopg.connect(self._conninfo, autocommit=True) as connection:
            connection.execute(f"VACUUM {tables}")

    def refresh(self, *, new_columns: bool = False) -> None:
        """See `base.Warehouse`."""
        try:
            with self._transaction() as connection:
                if "labels" in self._columns(connection):
                    self._show_in_use(connection, new_columns=new_columns)
        except (psycopg.Error, OSError) as error:
            raise _kind(error)(
                f"PostgreSQL {self._name}: its views go by the thresholds as before: {type(error).__name__}: "
                f"{str(error).strip().partition(chr(10))[0]}; run the load task again"
            ) from error

    def _show_in_use(self, connection: psycopg.Connection[Any], *, new_columns: bool = False) -> None:
        """Make the views of what counts, unless they are so already: to make one waits for its readers."""
        known = self._columns(connection)
        kept = {} if new_columns else postgres_views.taken_over(known)
        statements = [postgres_views.labels(self._schema, known)] if new_columns else []
        statements += postgres_views.in_use_views(thresholds.in_use(), self._schema, known=known, kept=kept)
        place = f"{sql.name(self._schema)}.{sql.name(in_use.THRESHOLDS_VIEW)}"
        digest = hashlib.sha256("".join(statements).encode()).hexdigest()
        told = connection.execute("SELECT obj_description(to_regclass(%s), 'pg_class')", [place]).fetchone()
        if new_columns or told != (digest,) or not set(in_use.view_names()) <= known.keys():
            _run(connection, *statements, f"COMMENT ON VIEW {place} IS {sql.text(digest)}")
        if lacking := {} if new_columns else postgres_views.lacking(known):
            log.info(
                "PostgreSQL %s: a worker of the release before can still load here, for %s: they come with "
                "`%s load --new-columns`, once no such worker is left",
                self._name,
                "; ".join(f"{view} lacks {', '.join(names)}" for view, names in lacking.items()),
                self._settings.command,
            )

    def _load(
        self, connection: psycopg.Connection[Any], catalog: Catalog, load: dict[str, Any]
    ) -> dict[str, int]:
        self._prepare(connection)
        rows = {}
        for table in TABLES.values():
            _run(connection, create_staging(table))
            rows[table.name] = _copy(connection, table, read_load(catalog, table, load))
            check_rows(load, table, rows[table.name])
        for table in TABLES.values():
            delete, insert = merge(table, self._schema)
            _run(connection, (delete, [load["load_id"]]), insert)
        return rows

    def _prepare(self, connection: psycopg.Connection[Any]) -> None:
        """Wait for other loads to end, then make what is missing."""
        connection.execute(
            "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [f"moderation.{self._schema}"]
        )
        _run(connection, *self._missing(connection))
        self._show_in_use(connection)

    def _missing(self, connection: psycopg.Connection[Any]) -> list[str]:
        """Statements for what the schema lacks; none, and so no lock on any table, when it is complete."""
        known = self._columns(connection)
        statements = [] if known else [f"CREATE SCHEMA IF NOT EXISTS {sql.name(self._schema)}"]
        for table in ALL_TABLES.values():
            if table.name not in known:
                statements += create_table(table, self._schema)
            else:
                statements += add_columns(table, self._schema, known[table.name])
        if "labels" not in known:
            statements.append(postgres_views.labels(self._schema))
        if statements or not set(verdict_views.VIEWS) <= known.keys():
            statements += postgres_views.verdicts_views(self._schema)
        return statements

    def _columns(self, connection: psycopg.Connection[Any]) -> Columns:
        """Columns by table and view, in order, as the schema has them now."""
        known: Columns = {}
        for table_name, column in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s "
            "ORDER BY table_name, ordinal_position",
            [self._schema],
        ):
            known[table_name] = (*known.get(table_name, ()), column)
        return known

    @contextmanager
    def _transaction(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self._conninfo) as connection:  # commits, or rolls back when the block fails
            connection.execute(
                "SELECT set_config('lock_timeout', %s, true), set_config('timezone', 'UTC', true), "
                "set_config('client_encoding', 'UTF8', true)",
                [f"{max(1, int(self._wait_seconds * 1000))}ms"],
            )
            yield connection


def _kind(error: psycopg.Error | OSError) -> type[WarehouseError]:
    """A server that is away, and what meets another at work, pass; what it refuses does not.

    Without an SQLSTATE the server has not answered; its classes 08, 40, 53, 55, 57 and 58 are circumstances
    [PostgreSQL, appendix A], of which a full disk is none.
    """
    if isinstance(error, OSError):
        return kin(WarehouseError, like=named(error) or error)
    state = error.sqlstate or ""
    text = str(error)
    if not state and isinstance(error, psycopg.OperationalError):
        return WarehouseUnusableError if _LOGIN_REFUSED.search(text) else WarehouseUnavailableError
    passes = state[:2] in {"08", "40", "53", "55", "57", "58"} and state != "53100"
    return WarehouseUnavailableError if passes else WarehouseUnusableError


def create_table(table: TableSpec, schema: str = NAMESPACE) -> list[str]:
    """Statements that make the table with its comments and indexes."""
    place = f"{sql.name(schema)}.{sql.name(table.name)}"
    body = ", ".join(
        f"{sql.name(entry.name)} {TYPES[entry.type]}{'' if entry.nullable else ' NOT NULL'}"
        for entry in table.schema
    )
    statements = [f"CREATE TABLE {place} ({body})", f"COMMENT ON TABLE {place} IS {sql.text(table.doc)}"]
    statements += [_comment(place, entry) for entry in table.schema]
    unique = "UNIQUE " if table is LOADS else ""
    if "load_id" in table.schema.names:
        statements.append(f"CREATE {unique}INDEX ON {place} ({sql.name('load_id')})")
    if "source_ref" in table.schema.names:
        statements.append(f"CREATE INDEX ON {place} ({sql.name('source_ref')})")
    return statements


def add_columns(table: TableSpec, schema: str, known: Collection[str]) -> list[str]:
    """Statements that add what a later release brought; a new column is empty in older rows."""
    place = f"{sql.name(schema)}.{sql.name(table.name)}"
    statements = []
    for entry in table.schema:
        if entry.name not in known:
            statements.append(f"ALTER TABLE {place} ADD COLUMN {sql.name(entry.name)} {TYPES[entry.type]}")
            statements.append(_comment(place, entry))
    return statements


def create_staging(table: TableSpec) -> str:
    """The temporary table that takes a load's rows before they are merged; it goes with the connection."""
    body = ", ".join(f"{sql.name(entry.name)} {TYPES[entry.type]}" for entry in table.schema)
    return f"CREATE TEMPORARY TABLE {_staging(table)} ({body})"


def copy(table: TableSpec) -> str:
    """COPY of CSV into the temporary table: unquoted nothing is null, quoted nothing is an empty text."""
    return f"COPY {_staging(table)} ({sql.columns(table)}) FROM STDIN WITH (FORMAT CSV)"


def merge(table: TableSpec, schema: str = NAMESPACE) -> tuple[str, str]:
    """DELETE with the load's id as its parameter, and INSERT from the temporary table."""
    place = f"{sql.name(schema)}.{sql.name(table.name)}"
    names = sql.columns(table)
    return (
        f"DELETE FROM {place} WHERE {sql.name('load_id')} = %s",  # noqa: S608 - quoted names, here and below
        f"INSERT INTO {place} ({names}) SELECT {names} FROM {_staging(table)}",  # noqa: S608
    )


def replacement(table: TableSpec, schema: str = NAMESPACE) -> tuple[str, str]:
    """DELETE of all rows, and INSERT from the temporary table."""
    place, names = f"{sql.name(schema)}.{sql.name(table.name)}", sql.columns(table)
    return (
        f"DELETE FROM {place}",  # noqa: S608 - quoted names, here and below
        f"INSERT INTO {place} ({names}) SELECT {names} FROM {_staging(table)}",  # noqa: S608
    )


def _staging(table: TableSpec) -> str:
    return f"pg_temp.{sql.name('moderation_staging_' + table.name)}"


def _comment(place: str, entry: pa.Field) -> str:
    doc = (entry.metadata or {}).get(b"doc", b"").decode()
    return f"COMMENT ON COLUMN {place}.{sql.name(entry.name)} IS {sql.text(doc)}"


def _run(connection: psycopg.Connection[Any], *statements: str | tuple[str, list[Any]]) -> None:
    for statement in statements:
        query, parameters = statement if isinstance(statement, tuple) else (statement, None)
        connection.execute(query, parameters)


def _copy(connection: psycopg.Connection[Any], table: TableSpec, batches: Iterable[pa.RecordBatch]) -> int:
    rows = 0
    with connection.cursor() as cursor, cursor.copy(copy(table)) as target:
        for batch in batches:
            target.write(as_csv(batch, table.name))
            rows += batch.num_rows
    return rows
