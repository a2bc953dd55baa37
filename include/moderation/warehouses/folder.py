"""A plain folder of Parquet files, for tools that read nothing else: ``pd.read_parquet("…/labels_l2")``.

One file a load and table, right in the table's folder: so a load's rows of a table appear by one rename, a
compaction of the published files changes nothing here, and no folder's name stands for a column that the
files have themselves, which pandas and pyarrow refuse to read. Beside them lies a file without rows, so that
a table of which no load has a row can be read too.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog

from moderation.errors import WarehouseError, WarehouseUnusableError, kin
from moderation.reference.library_errors import named
from moderation.schema import TABLES, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.storage import parquet
from moderation.storage.s3_objects import S3Error
from moderation.storage.whole_file import whole_file
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import TablesError
from moderation.tables.outcomes import rows_of
from moderation.tables.published import in_types, published_load, scan
from moderation.tables.standing import ALL_TABLES, STANDING
from moderation.tables.writer import ROW_GROUP_ROWS
from moderation.warehouses.base import check_rows
from moderation.warehouses.load_files import read_load

SCHEMA_FILE = "schema.parquet"
"""The file of a table that has its columns and no row; no reader passes over such a name."""

STANDING_FILE = "all.parquet"
"""The one file with rows of a table that belongs to no load."""

_NAME = b"moderation.file"

_log = logging.getLogger(__name__)


class FolderMirror:
    """Copies loads into ``settings.parquet_mirror``; the file of `loads` comes last.

    :raises WarehouseError: no folder is set.
    """

    def __init__(self, settings: Settings) -> None:
        if settings.parquet_mirror is None:
            raise WarehouseUnusableError("no folder to mirror into; set MODERATION_PARQUET_DIR")
        self._settings = settings
        self._folder = Path(settings.parquet_mirror)

    def load(self, load_id: str) -> dict[str, int]:
        """Copy the load's rows that are not there yet; files that lack a later release's columns get them.

        :returns: files of the load by table: one where it has rows.
        :raises WarehouseError: no such published load, or the copy failed.
        """
        with open_catalog(self._settings) as catalog:
            load = published_load(catalog, load_id)
            with self._named_errors(f"load {load_id}"):
                for table in STANDING.values():
                    self._prepare(table)
                return {table.name: self._copy(catalog, table, load) for table in TABLES.values()}

    def load_standing(self) -> dict[str, int]:
        """Write one file for each table that belongs to no load, over the one before.

        :returns: rows by table.
        :raises WarehouseError: the copy failed.
        """
        rows = {}
        with open_catalog(self._settings) as catalog, self._named_errors("what people decided"):
            for table in STANDING.values():
                batches = scan(load_table(catalog, table), table, table.schema.names)
                self._prepare(table)
                rows[table.name] = _write(table, self._folder / table.name / STANDING_FILE, batches)
        return rows

    @contextmanager
    def _named_errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, S3Error, TablesError) as error:
            cause = named(error) or error
            raise kin(WarehouseError, like=cause)(
                f"{what} is not whole in {self._folder}: {cause}; run the load task again"
            ) from error
        except pa.ArrowException as error:
            raise WarehouseUnusableError(
                f"{what} is not whole in {self._folder}: {error}; run the load task again"
            ) from error

    def lacks(self, loads: Sequence[dict[str, Any]]) -> list[str]:
        """Ids of those published loads of which a file is missing or cut off, in the order given."""
        lacking = [load["load_id"] for load in loads if not self._has(load)]
        if loads and not lacking and not self._is_readable():
            return [loads[-1]["load_id"]]
        return lacking

    def damaged(self, loads: Sequence[dict[str, Any]]) -> Iterator[Path]:
        """Files with a page that is not as it was written, or of another install. Reads all files."""
        for load in loads:
            for table in TABLES.values():
                path = self._target(table, load)
                if path.exists() and not _is_whole(path, rows_of(load, table)):
                    yield path
        for name in STANDING:
            path = self._folder / name / STANDING_FILE
            if path.exists() and _rows_read(path) is None:
                yield path

    def erase(self, load_ids: Sequence[str]) -> None:
        """See `base.Warehouse`: a load whose images were erased has files of another name."""
        for load_id in load_ids:
            self.load(load_id)
        self.load_standing()

    def refresh(self, *, new_columns: bool = False) -> None:
        """Nothing: files have no views, and hold what was answered."""

    def _is_readable(self) -> bool:
        return all(parquet.rows_in(self._folder / name / SCHEMA_FILE) == 0 for name in ALL_TABLES)

    def _has(self, load: dict[str, Any]) -> bool:
        wanted = {self._target(table, load): rows_of(load, table) for table in TABLES.values()}
        footers = {path: parquet.footer_of(path) for path in wanted}
        return all(
            (footer.num_rows if footer else 0) == wanted[path] and _is_its_own(path, footer)
            for path, footer in footers.items()
        )

    def _target(self, table: TableSpec, load: dict[str, Any]) -> Path:
        return self._folder / table.name / f"{load['load_id']}-{load['digest']}.parquet"

    def _copy(self, catalog: Catalog, table: TableSpec, load: dict[str, Any]) -> int:
        target = self._target(table, load)
        wanted = rows_of(load, table)
        self._prepare(table)
        if not _is_whole(target, wanted):
            rows = read_load(catalog, table, load)
            written = _write(table, target, rows, name=_name_of(target)) if wanted else 0
            if written != wanted:
                target.unlink(missing_ok=True)
            check_rows(load, table, written)
        for path in target.parent.rglob(f"{load['load_id']}-*.parquet"):
            if path != target:
                path.unlink()
        return 1 if wanted else 0

    def _prepare(self, table: TableSpec) -> None:
        self._widen(table)
        empty = self._folder / table.name / SCHEMA_FILE
        if parquet.rows_in(empty) != 0:
            _write(table, empty, iter(()))

    def _widen(self, table: TableSpec) -> None:
        """Add missing columns: readers of a folder take the columns of whichever file they open first."""
        for path in sorted((self._folder / table.name).glob("*.parquet")):
            if columns := _lacking(table, path):
                _log.info("%s gets the columns %s", path, ", ".join(sorted(columns)))
                with parquet.open_file(path) as file:
                    name = _name_in(file.metadata)
                    _write(table, path, file.iter_batches(ROW_GROUP_ROWS), name=name)


def _lacking(table: TableSpec, path: Path) -> set[str]:
    """Columns that the file does not have yet; none of one that is damaged: its own load writes it again."""
    try:
        with parquet.open_file(path) as file:
            return set(table.schema.names) - set(file.schema_arrow.names)
    except (OSError, pa.ArrowException):
        return set()


def _write(
    table: TableSpec, target: Path, batches: Iterator[pa.RecordBatch], *, name: bytes | None = None
) -> int:
    """Write a file that appears whole or not at all; returns its rows.

    :param name: which load's it is, for :func:`_is_its_own`.
    """
    types = physical_schema(table)
    target.parent.mkdir(parents=True, exist_ok=True)
    rows = 0
    with (
        whole_file(target) as unfinished,
        parquet.Writer(
            unfinished,
            types,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(table.dictionary),
            store_schema=False,
        ) as writer,
    ):
        for batch in batches:
            writer.write_batch(in_types(batch, types), row_group_size=ROW_GROUP_ROWS)
            rows += batch.num_rows
        if name is not None:
            writer.add_key_value_metadata({_NAME: name})
    return rows


def _name_of(path: Path) -> bytes:
    """What a file of a load is: its table, load and digest."""
    return f"{path.parent.name}/{path.stem}".encode()


def _name_in(footer: pq.FileMetaData) -> bytes | None:
    named: bytes | None = (footer.metadata or {}).get(_NAME)
    return named


def _is_its_own(path: Path, footer: pq.FileMetaData | None) -> bool:
    """Whether it is not another install's file, with as many rows; one of an earlier release does not say."""
    return footer is None or _name_in(footer) in {None, _name_of(path)}


def _is_whole(path: Path, rows: int) -> bool:
    """Whether the file holds so many rows and no page of it is damaged; a table without rows has no file."""
    return _rows_read(path) == rows if rows else not path.exists()


def _rows_read(path: Path) -> int | None:
    """How many rows the file holds once all are read; None where it is damaged or another's."""
    try:
        with parquet.open_file(path) as file:
            if not _is_its_own(path, file.metadata):
                return None
            return sum(batch.num_rows for batch in file.iter_batches(ROW_GROUP_ROWS))
    except (OSError, pa.ArrowException):
        return None
