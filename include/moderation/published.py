"""What readers may see: rows of loads that `loads` knows, and nothing of a publish that is under way.

``loads`` is read first, the data afterwards: whatever load is known had all its files added before.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from moderation.catalog import load_table, open_catalog
from moderation.schema import IMAGES, LOADS, TableSpec, physical_schema
from moderation.settings import Settings


def read_loads(settings: Settings) -> pa.Table:
    """Every published load, `schema.LOADS`, oldest first."""
    with open_catalog(settings) as catalog:
        return loads_in(catalog)


def loads_in(catalog: Catalog) -> pa.Table:
    """`read_loads` in a catalog that is open."""
    batches = scan(load_table(catalog, LOADS), LOADS, LOADS.schema.names)
    loads = pa.Table.from_batches(batches, _selected(LOADS, LOADS.schema.names))
    return loads.sort_by([("published_at", "ascending"), ("load_id", "ascending")])


def published_images(settings: Settings, columns: Sequence[str]) -> pa.Table:
    """Rows of `images` of all published loads.

    :param columns: of `schema.IMAGES`, in the order wanted.
    :returns: no rows when nothing was published yet.
    """
    with open_catalog(settings) as catalog:
        known = loads_in(catalog).column("load_id").to_pylist()
        batches = scan(load_table(catalog, IMAGES), IMAGES, columns, load_ids=set(known))
        return pa.Table.from_batches(batches, _selected(IMAGES, columns))


def read_load(catalog: Catalog, table: TableSpec, load: dict[str, Any]) -> Iterator[pa.RecordBatch]:
    """One load's rows of a table, batch by batch.

    :param load: its row of `loads`.
    """
    return scan(
        load_table(catalog, table),
        table,
        table.schema.names,
        load_ids={load["load_id"]},
        where=f"dt = '{load['dt'].isoformat()}' and load_id = '{load['load_id']}'",
    )


def scan(
    table: Table | None,
    spec: TableSpec,
    columns: Sequence[str],
    *,
    load_ids: Collection[str] | None = None,
    where: str | None = None,
) -> Iterator[pa.RecordBatch]:
    """Stream columns of a table in the types of `schema`, whatever release wrote the files.

    :param table: None for one that does not exist yet: no rows.
    :param load_ids: only rows of these loads; None for all.
    :param where: an Iceberg row filter, by which files are left out.
    """
    if table is None:
        return
    wanted = pa.array(sorted(load_ids), pa.string()) if load_ids is not None else None
    present = {entry.name for entry in table.schema().fields}
    asked = tuple(dict.fromkeys(name for name in (*columns, "load_id") if name in present))
    reader = table.scan(row_filter=where or AlwaysTrue(), selected_fields=asked).to_arrow_batch_reader()
    types = _selected(spec, columns)
    with reader:
        for batch in reader:
            rows = batch
            if wanted is not None:
                rows = batch.filter(pc.is_in(batch.column("load_id").cast(pa.string()), value_set=wanted))
            if rows.num_rows:
                yield _in_types(rows, types)


def _in_types(rows: pa.RecordBatch, types: pa.Schema) -> pa.RecordBatch:
    present = set(rows.schema.names)
    arrays = [
        rows.column(entry.name).cast(entry.type)
        if entry.name in present
        else pa.nulls(rows.num_rows, entry.type)
        for entry in types
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=types)


def _selected(spec: TableSpec, columns: Sequence[str]) -> pa.Schema:
    schema = physical_schema(spec)
    return pa.schema([schema.field(name) for name in columns])


def files_of_load(table: Table | None, load_id: str, day: str) -> list[DataFile]:
    """The files of the table's current snapshot that carry the load's name.

    :param day: the load's ``dt``, ISO.
    """
    if table is None or table.current_snapshot() is None:
        return []
    tasks = table.scan(row_filter=f"dt = '{day}'").plan_files()
    files = [task.file for task in tasks if f"/{load_id}-" in task.file.file_path]
    return sorted(files, key=lambda file: file.file_path)
