"""DuckDB over the published files themselves: no copy and no server, from a folder or S3.

Each table is the file list of one snapshot, so a publish or a compaction that goes on meanwhile neither shows
part of a load nor a row twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date

import duckdb
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.errors import WarehouseMissingError
from moderation.query.answers import fence
from moderation.query.checked_files import CheckedFiles
from moderation.schema import IMAGES, TABLES, TableSpec
from moderation.settings import Settings
from moderation.storage.files import absolute
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import planned_files
from moderation.tables.history import told_lost
from moderation.tables.published import known_load_ids, load_named
from moderation.tables.standing import ALL_TABLES, STANDING
from moderation.tables.swap import data_files
from moderation.warehouses.duckdb import TYPES, labels_view, verdicts_views
from moderation.warehouses.reading import bounded, days_condition, quiet, show_in_use, show_only


@contextmanager
def open_published(
    settings: Settings,
    *,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    warn: Callable[[str], object] | None = None,
    memory: Callable[[int], str] | None = None,
) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with a view for each table, ``labels`` and those over verdicts. Times are UTC.

    It reaches the published files and nothing else, and no setting of it can be changed.

    :param load_id: show only this load.
    :param since: show only days from this one on; files of other days are not even listed.
    :param until: show only days up to this one.
    :param warn: is told when the tables have lost rows, so that a part is not taken for all.
    :param memory: gives what queries may take (``64MB``) over so many images; without, DuckDB takes up to
        four fifths of the machine's.
    :raises WarehouseMissingError: nothing was published, or no such load.
    :raises TablesError: the tables cannot be read.
    """
    files = CheckedFiles()
    try:
        with duckdb.connect() as connection, ExitStack() as limits:
            quiet(connection)
            connection.register_filesystem(files)
            with open_catalog(settings) as catalog:
                readable, images = _make_views(connection, catalog, settings, since, until, files=files)
                if warn and (lost := told_lost(settings, catalog)):
                    warn(lost)
            for statement in (labels_view(), *verdicts_views()):
                connection.execute(statement)
            if load_id is not None:
                show_only(connection, settings.tables_uri, load_id=load_id)
            show_in_use(connection)
            if memory is not None:
                limits.enter_context(bounded(connection, memory=memory(images), in_order=True))
            fence(connection, readable=readable)
            yield connection
    except Exception as error:
        if fault := files.fault():
            raise fault from error
        raise


def published_files(
    catalog: Catalog, *, since: date | None = None, until: date | None = None
) -> dict[str, list[str]]:
    """The files that hold the published rows, by table: those of committed loads alone.

    The days concern tables of loads; what belongs to no load comes whole.

    :raises WarehouseMissingError: nothing was published yet.
    """
    snapshots = _snapshots(catalog, since, until)
    return {name: [file.file_path for file in files] for name, (_, files) in snapshots.items()}


def _snapshots(
    catalog: Catalog, since: date | None, until: date | None
) -> dict[str, tuple[Table | None, list[DataFile]]]:
    """Each table as it is now, and its files of committed loads."""
    # `loads` first, the data afterwards: whatever load is known had all its files added before.
    where = days_condition(since, until) or None
    known = known_load_ids(catalog, where)
    if not known and not (where and known_load_ids(catalog)):
        raise WarehouseMissingError("nothing was published yet; run the pipeline once")
    tables = {name: load_table(catalog, spec) for name, spec in TABLES.items()}
    found = {name: (table, _files(table, known, where)) for name, table in tables.items()}
    standing = {name: load_table(catalog, spec) for name, spec in STANDING.items()}
    return found | {
        name: (table, data_files(table) if table is not None else []) for name, table in standing.items()
    }


def _files(table: Table | None, known: set[str], where: str | None) -> list[DataFile]:
    if table is None or table.current_snapshot() is None:
        return []
    found = [task.file for task in planned_files(table, where)]
    found = [file for file in found if load_named(file.file_path) in {None, *known}]
    return sorted(found, key=lambda file: file.file_path)


def _make_views(
    connection: duckdb.DuckDBPyConnection,
    catalog: Catalog,
    settings: Settings,
    since: date | None,
    until: date | None,
    *,
    files: CheckedFiles,
) -> tuple[list[str], int]:
    """Make the views; returns the files that they read, as DuckDB is told of them, and how many images these
    have."""
    where = days_condition(since, until)
    readable: list[str] = []
    images = 0
    for name, (table, found) in _snapshots(catalog, since, until).items():
        spec = ALL_TABLES[name]
        days = where if name in TABLES else ""
        # An earlier release's files lack columns, whether or not a publish of this one has widened the table.
        widened = table is not None and (
            len(table.schemas()) > 1 or not set(spec.schema.names) <= {*table.schema().column_names}
        )
        told = not widened and not _is_named_above(spec, settings.tables_uri)
        paths = [files.add(table, file) for file in found] if table is not None else []
        readable += paths
        if spec is IMAGES:
            images = sum(file.record_count for file in found)
        source = _source(spec, paths, columns_in_folders=told)
        connection.execute(
            f"CREATE VIEW {name} AS SELECT {', '.join(spec.schema.names)} FROM {source}"  # noqa: S608 - names of ours
            + (f" WHERE {days}" if days else "")
        )
    return readable, images


def _is_named_above(spec: TableSpec, tables_uri: str) -> bool:
    """Whether a folder above the tables has a column's name, as in ``s3://lake/source=cameras/tables``."""
    names = [part.partition("=")[0] for part in absolute(tables_uri).split("/") if "=" in part]
    return any(name in spec.schema.names for name in names)


def _source(spec: TableSpec, paths: list[str], *, columns_in_folders: bool) -> str:
    """The rows of the files.

    :param columns_in_folders: days and content types are told from the folders' names, and a query for one
        day opens no file of another; every file must have all columns, and no other folder be named like
        one, for DuckDB takes that for the column. Else columns are looked up by name, and one that a file
        does not have is null.
    """
    if not paths:
        nulls = ", ".join(f"NULL::{TYPES[entry.type]} AS {entry.name}" for entry in spec.schema)
        return f"(SELECT {nulls} WHERE false)"
    listed = ", ".join(_text(path) for path in paths)
    if columns_in_folders:
        kinds = ", ".join(f"{_text(name)}: {_type(spec, name)}" for name in spec.partition_by)
        return f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{{kinds}}})"
    columns = ", ".join(
        f"{_text(name)}: {{name: {_text(name)}, type: {_text(_type(spec, name))}, default_value: NULL}}"
        for name in spec.schema.names
    )
    return f"read_parquet([{listed}], schema = MAP {{{columns}}})"


def _type(spec: TableSpec, name: str) -> str:
    kind: pa.DataType = spec.schema.field(name).type
    return TYPES[kind]


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
