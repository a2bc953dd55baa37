"""The published Parquet files of one load, and their rows in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.errors import WarehouseUnusableError
from moderation.schema import TableSpec, physical_schema
from moderation.tables.catalog import load_table
from moderation.tables.faults import open_parquet, planned_files
from moderation.tables.published import in_types

_BATCH_ROWS = 32_768


def files_holding(table: Table | None, load: dict[str, Any]) -> list[DataFile]:
    """The files of the table's current snapshot that may hold rows of the load, by path.

    They may hold rows of other loads too, once files were compacted.

    :param table: None for one that does not exist yet.
    :param load: its row of `loads`.
    :raises WarehouseError: a file has row-level deletes, which a plain reader of Parquet would not see.
    """
    if table is None or table.current_snapshot() is None:
        return []
    where = f"dt = '{load['dt'].isoformat()}' and load_id = '{load['load_id']}'"
    tasks = planned_files(table, where)
    for task in tasks:
        if task.delete_files:
            raise WarehouseUnusableError(
                f"{task.file.file_path} has rows deleted in place; compact the table first"
            )
    return sorted((task.file for task in tasks), key=lambda file: file.file_path)


def read_load(catalog: Catalog, spec: TableSpec, load: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """One load's rows of a table in the types of `schema`, in the order of the files.

    One row group is in memory at a time, however large the files are: pyiceberg's own reader holds whole
    files, several at once.

    :param load: its row of `loads`.
    """
    table = load_table(catalog, spec)
    types = physical_schema(spec)
    for file in files_holding(table, load):
        assert table is not None  # noqa: S101 - without a table there are no files
        with open_parquet(table, file.file_path) as parquet:
            present = [name for name in types.names if name in parquet.schema_arrow.names]
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=present):
                ours = batch.filter(pc.equal(batch.column("load_id"), load["load_id"]))
                if ours.num_rows:
                    yield in_types(ours, types)
