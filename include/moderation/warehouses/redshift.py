"""Amazon Redshift: the SQL and the COPY manifests that bring a load in; nothing here opens a connection.

`setup` makes the tables, `add_columns` and `view` what a later release needs besides. `load` is the body of
one transaction: each table's Parquet files are copied into a temporary table, then rows of the same load give
way to them. Redshift enforces no keys, so the first statement locks a table of ours that no reader touches:
two loads at once would each delete nothing and both insert. Run a list through the Data API's
BatchExecuteStatement, which is one transaction, or put `transaction` around it elsewhere.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

import orjson
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.errors import WarehouseUnusableError
from moderation.policy.thresholds import Thresholds
from moderation.schema import LABELS, LOADS, TABLES, TableSpec
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.files import Storage, is_s3
from moderation.tables.catalog import NAMESPACE, load_table, open_catalog
from moderation.tables.published import published_load
from moderation.tables.standing import ALL_TABLES, STANDING
from moderation.tables.swap import data_files
from moderation.warehouses import sql
from moderation.warehouses.load_files import files_holding
from moderation.warehouses.redshift_fit import fitting
from moderation.warehouses.views import in_use, verdict_views

MAX_BATCH = 40
"""Statements in one BatchExecuteStatement (AWS's service model, ``SqlList``)."""

_WIDTH = 1024
_TYPES = {
    pa.string(): f"VARCHAR({_WIDTH})",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float64(): "DOUBLE PRECISION",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}

# In bytes of UTF-8; generous where people or other services choose the text: the longest local path, error
# messages, raw answers.
_WIDTHS = {
    "load_id": 64,
    "manifest_id": 64,
    "content_type": 32,
    "status": 32,
    "source_ref": 8192,
    "origin": 8192,
    "key": 8192,
    "manifest_uri": 8192,
    "results_uri": 8192,
    "summary_uri": 8192,
    "file_uri": 8192,
    "source": 8192,
    "run_key": 1024,
    "error_message": 65535,
    "failure_message": 65535,
    "message": 65535,
    "raw": 65535,
    "note": 65535,
    "evaluation": 65535,
    "gate_reasons": 65535,
    "labels": 8192,
}

_BIG = ("images", *(table.name for table in LABELS.values()))
_LOCK = "load_lock"


class Copy(NamedTuple):
    """What one table's COPY reads.

    :param table: its name.
    :param manifest_uri: the COPY manifest in S3.
    """

    table: str
    manifest_uri: str


@dataclass(frozen=True, kw_only=True)
class RedshiftSql:
    """Builds the statements.

    :param schema: where the tables are.
    :param iam_role: ARN of the role that reads the bucket, several chained by commas, or ``default``.
    """

    schema: str = NAMESPACE
    iam_role: str = "default"

    def setup(self) -> list[str]:
        """Statements that make what is missing: schema, tables, the lock table."""
        lock = f"CREATE TABLE IF NOT EXISTS {self._place(_LOCK)} ({sql.name('held')} INTEGER) DISTSTYLE ALL"
        return [
            f"CREATE SCHEMA IF NOT EXISTS {sql.name(self.schema)}",
            lock,
            *(self._create(table) for table in ALL_TABLES.values()),
            *(
                f"COMMENT ON TABLE {self._place(table.name)} IS {sql.text(table.doc)}"
                for table in ALL_TABLES.values()
            ),
        ]

    def add_columns(self, known: Mapping[str, Collection[str]]) -> list[str]:
        """Statements that add what a later release of the schema brought.

        :param known: columns that each table has now; a table that is missing is left to `setup`.
        """
        return [
            f"ALTER TABLE {self._place(table.name)} ADD COLUMN {sql.name(entry.name)} {column_type(entry)}"
            for table in ALL_TABLES.values()
            for entry in table.schema
            if table.name in known and entry.name not in known[table.name]
        ]

    def view(self, known: Mapping[str, Collection[str]]) -> list[str]:
        """Statements for ``labels`` and the views over verdicts, to be run after `add_columns`.

        None when they are as they should be. CREATE OR REPLACE takes the same columns only: with others the
        views are dropped first, and whoever may read them must be told again.

        :param known: as in `add_columns`, views included.
        """
        wanted = {"labels": sql.LABELS_COLUMNS, **verdict_views.COLUMNS}
        if all(set(known.get(view, ())) == set(columns) for view, columns in wanted.items()):
            return []
        return [
            *(f"DROP VIEW IF EXISTS {self._place(view)}" for view in reversed(wanted)),
            self._view(),
            *(
                f"CREATE VIEW {self._place(view)} AS {select}"
                for view, select in verdict_views.selects(verdict_views.REDSHIFT, self._place).items()
            ),
        ]

    def in_use(self, thresholds: Thresholds) -> list[str]:
        """Statements that make the views of what counts by these thresholds, to be run after `view`."""
        places = {table: self._place(table) for table in TABLES}
        dialect = in_use.Dialect(
            text=f"VARCHAR({_WIDTH})",
            number="DOUBLE PRECISION",
            # A label's name has no line break.
            first_l1="SPLIT_PART(LISTAGG(l1, '\n') WITHIN GROUP (ORDER BY confidence DESC), '\n', 1)",
            place=self._place,
            labels=sql.labels_select(places, _TYPES),
        )
        return list(in_use.views(thresholds, dialect).values())

    def known_columns(self) -> str:
        """The query for `add_columns` and `view`: table and column names."""
        return f"SELECT table_name, column_name FROM svv_columns WHERE table_schema = {sql.text(self.schema)}"  # noqa: S608 - quoted

    def held(self) -> str:
        """The query for the ids of the loads that are there."""
        return f"SELECT load_id FROM {self._place(LOADS.name)}"  # noqa: S608 - quoted

    def load(self, load_id: str, day: date, copies: Sequence[Copy]) -> list[str]:
        """The body of one transaction that brings a load in; repeated, it leaves the same rows.

        :param day: the load's ``dt``; with it Redshift reads few blocks to find the load's rows.
        :param copies: one for each table that has rows.
        """
        unknown = {copy.table for copy in copies} - TABLES.keys()
        if unknown:
            raise ValueError(f"no such table: {', '.join(sorted(unknown))}")
        manifests = {copy.table: copy.manifest_uri for copy in copies}
        statements = [f"LOCK {self._place(_LOCK)}"]
        for table in TABLES.values():
            if table.name in manifests:
                statements += [_create_staging(table), self._copy(table, manifests[table.name])]
        mine = (
            f"{sql.name('dt')} = {sql.text(day.isoformat())} AND {sql.name('load_id')} = {sql.text(load_id)}"
        )
        for table in TABLES.values():
            statements.append(f"DELETE FROM {self._place(table.name)} WHERE {mine}")  # noqa: S608 - quoted
            if table.name in manifests:
                statements.append(self._insert(table, mine))
        return statements

    def load_standing(self, copies: Sequence[Copy]) -> list[str]:
        """The body of one transaction that replaces the tables that belong to no load.

        :param copies: one for each of them that has rows.
        """
        manifests = {copy.table: copy.manifest_uri for copy in copies}
        statements = [f"LOCK {self._place(_LOCK)}"]
        for table in STANDING.values():
            if table.name in manifests:
                statements += [_create_staging(table), self._copy(table, manifests[table.name])]
        for table in STANDING.values():
            statements.append(f"DELETE FROM {self._place(table.name)}")  # noqa: S608 - quoted
            if table.name in manifests:
                statements.append(self._insert(table))
        return statements

    def _place(self, table: str) -> str:
        return f"{sql.name(self.schema)}.{sql.name(table)}"

    def _create(self, table: TableSpec) -> str:
        body = ", ".join(
            f"{sql.name(entry.name)} {column_type(entry)}{'' if entry.nullable else ' NOT NULL'}"
            for entry in table.schema
        )
        # Joins of images and labels stay on one node; queries name a day, a load is found by its day.
        spread = f"DISTSTYLE KEY DISTKEY({sql.name('source_ref')})" if table.name in _BIG else "DISTSTYLE ALL"
        order = [name for name in ("dt", "content_type", "l1", "load_id") if name in table.schema.names]
        keys = ", ".join(sql.name(name) for name in order)
        return (
            f"CREATE TABLE IF NOT EXISTS {self._place(table.name)} ({body}) {spread} COMPOUND SORTKEY({keys})"
        )

    def _copy(self, table: TableSpec, manifest_uri: str) -> str:
        role = "DEFAULT" if self.iam_role == "default" else sql.text(self.iam_role)
        return (
            f"COPY {_staging(table)} FROM {sql.text(manifest_uri)} IAM_ROLE {role} "
            "FORMAT AS PARQUET MANIFEST FILLRECORD"
        )

    def _insert(self, table: TableSpec, mine: str = "") -> str:
        chosen = ", ".join(
            f"{sql.name(entry.name)} AT TIME ZONE 'UTC'"
            if pa.types.is_timestamp(entry.type)
            else sql.name(entry.name)
            for entry in table.schema
        )
        return (
            f"INSERT INTO {self._place(table.name)} ({sql.columns(table)}) "  # noqa: S608 - quoted
            f"SELECT {chosen} FROM {_staging(table)}" + (f" WHERE {mine}" if mine else "")
        )

    def _view(self) -> str:
        places = {table: self._place(table) for table in TABLES}
        return f"CREATE VIEW {self._place('labels')} AS {sql.labels_select(places, _TYPES)}"


def transaction(statements: Sequence[str]) -> list[str]:
    """The statements between BEGIN and END, for a client that commits each statement by itself."""
    return ["BEGIN", *statements, "END"]


def column_type(entry: pa.Field) -> str:
    """The column's type in its table."""
    if pa.types.is_string(entry.type):
        return f"VARCHAR({_WIDTHS.get(entry.name, _WIDTH)})"
    return _TYPES[entry.type]


def column_widths(table: TableSpec) -> dict[str, int]:
    """Room in each text column, in bytes of UTF-8."""
    return {
        entry.name: _WIDTHS.get(entry.name, _WIDTH)
        for entry in table.schema
        if pa.types.is_string(entry.type)
    }


def write_manifests(settings: Settings, load_id: str) -> tuple[date, list[Copy]]:
    """Write the COPY manifests of a published load below ``work_uri``; return its day and what to copy.

    Repeated, it writes the same files. Sizes are given because COPY of Parquet needs them; every file is
    mandatory, so one that is missing fails the load instead of leaving rows out. In place of a file with
    texts wider than their columns stands a copy in which they fit (`redshift_fit`).

    :raises WarehouseError: no such load, or the tables are not in S3.
    """
    with _writing(settings, load_id) as (catalog, write):
        load = published_load(catalog, load_id)
        opened = {table: load_table(catalog, spec) for table, spec in TABLES.items()}
        copies = [write(TABLES[name], table, files_holding(table, load)) for name, table in opened.items()]
    return load["dt"], [copy for copy in copies if copy]


def write_standing_manifests(settings: Settings) -> list[Copy]:
    """Write the COPY manifests of the tables that belong to no load, as `write_manifests` does for a load.

    :raises WarehouseError: the tables are not in S3.
    """
    with _writing(settings, "standing") as (catalog, write):
        opened = {name: load_table(catalog, spec) for name, spec in STANDING.items()}
        copies = [
            write(STANDING[name], table, data_files(table))
            for name, table in opened.items()
            if table is not None
        ]
    return [copy for copy in copies if copy]


_Write = Callable[[TableSpec, Table | None, Sequence[DataFile]], Copy | None]


@contextmanager
def _writing(settings: Settings, name: str) -> Iterator[tuple[Catalog, _Write]]:
    """The catalog, and what writes the manifest of some files of a table.

    :param name: of the folder that the manifests go into.
    """
    if not is_s3(settings.tables_uri):
        raise WarehouseUnusableError(
            f"Redshift copies from S3 only and the tables are in {settings.tables_uri}; "
            "set MODERATION_TABLES_URI=s3://…"
        )
    folder = f"{settings.work_uri}/redshift/{name}"
    with (
        open_catalog(settings) as catalog,
        Storage(settings) as storage,
        tempfile.TemporaryDirectory(prefix="redshift-") as spool,
    ):

        def write(spec: TableSpec, table: Table | None, files: Sequence[DataFile]) -> Copy | None:
            body = manifest(spec, table, files, storage=storage, folder=folder, spool=Path(spool))
            if body is None:
                return None
            digest = hashlib.sha256(body).hexdigest()[:12]
            uri = f"{folder}/{spec.name}-{digest}.manifest"
            s3_objects.put(storage.s3_client, uri, body)
            return Copy(spec.name, uri)

        yield catalog, write


def manifest(
    table: TableSpec,
    opened: Table | None,
    files: Sequence[DataFile],
    *,
    storage: Storage,
    folder: str,
    spool: Path,
) -> bytes | None:
    """The COPY manifest of files of one table; None for none.

    :param folder: URI below which copies of files go that do not fit.
    :param spool: local folder for these.
    """
    entries = []
    for file in files:
        assert opened is not None  # noqa: S101 - without a table there are no files
        uri, size = fitting(
            table,
            opened,
            file,
            widths=column_widths(table),
            storage=storage,
            target_uri=folder,
            spool=spool,
        )
        entries.append({"url": uri, "mandatory": True, "meta": {"content_length": size}})
    return orjson.dumps({"entries": entries}, option=orjson.OPT_INDENT_2) if entries else None


def _create_staging(table: TableSpec) -> str:
    """Columns are spelled out, not LIKE: COPY goes by position, so they must be those of the files.

    Times are TIMESTAMP here: that is what COPY makes of Parquet's; the INSERT says that they are UTC.
    """
    body = ", ".join(
        f"{sql.name(entry.name)} {'TIMESTAMP' if pa.types.is_timestamp(entry.type) else column_type(entry)}"
        for entry in table.schema
    )
    return f"CREATE TEMPORARY TABLE {_staging(table)} ({body})"


def _staging(table: TableSpec) -> str:
    return sql.name("moderation_staging_" + table.name)
