"""What readers may see: rows of loads that `loads` knows, and nothing of a publish that is under way.

``loads`` is read first, the data afterwards: whatever load is known had all its files added before.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Table

from moderation.errors import WarehouseMissingError
from moderation.schema import IMAGES, LOADS, TableSpec, physical_schema
from moderation.settings import Settings
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.faults import open_parquet, planned_files, row_filter
from moderation.tables.outcomes import rows_of
from moderation.tables.source_ref_ranges import NAME, batches_between, range_in

_LOADS_AT_ONCE = 16

_LOAD_FILE = re.compile(r"/(\d{8}T\d{6}Z-[0-9a-f]{12})-[^/]*$")


def read_loads(settings: Settings) -> pa.Table:
    """Every published load, `schema.LOADS`, oldest first."""
    with open_catalog(settings) as catalog:
        return loads_in(catalog)


def loads_in(catalog: Catalog) -> pa.Table:
    """`read_loads` in a catalog that is open.

    Each publish has left a small file, and in S3 one after the other would mean to wait most of the time.
    """
    batches = scan(load_table(catalog, LOADS), LOADS, LOADS.schema.names, at_once=_LOADS_AT_ONCE)
    loads = pa.Table.from_batches(batches, _selected(LOADS, LOADS.schema.names))
    return loads.sort_by([("published_at", "ascending"), ("load_id", "ascending")])


def published_load(catalog: Catalog, load_id: str) -> dict[str, Any]:
    """The load's row of `loads`.

    :raises WarehouseMissingError: it is not published.
    """
    found = row_of(loads_in(catalog), load_id)
    if found is None:
        raise WarehouseMissingError(
            f"load {load_id!r} is not published; run the publish task of its run first"
        )
    return found


def row_of(loads: pa.Table, load_id: str) -> dict[str, Any] | None:
    """The load's row; None when it is not among them.

    :param loads: rows of `loads`.
    """
    rows = loads.filter(pc.equal(loads.column("load_id"), load_id)).to_pylist()
    return rows[0] if rows else None


def known_load_ids(catalog: Catalog, where: str | None = None) -> set[str]:
    """Ids of the published loads.

    A file that a publish wrote into `loads` names its load, so only those of a compaction are opened: with a
    load a night, a year's names cost one listing instead of hundreds of reads.

    :param where: an Iceberg row filter on ``dt``, by which files are left out.
    """
    table = load_table(catalog, LOADS)
    if table is None:
        return set()
    known: set[str] = set()
    for task in planned_files(table, where, ("load_id",)):
        named = None if task.delete_files else load_named(task.file.file_path)
        if named is None:
            batches = scan(table, LOADS, ["load_id"], where=where)
            return {load_id for batch in batches for load_id in batch.column("load_id").to_pylist()}
        known.add(named)
    return known


def published_images(
    settings: Settings, columns: Sequence[str], *, between: tuple[str, str] | None = None
) -> pa.Table:
    """Rows of `images` of all published loads, in memory.

    :param columns: of `schema.IMAGES`, in the order wanted.
    :param between: only rows with a ``source_ref`` from the one to the other, both included.
    :returns: no rows when nothing was published yet.
    """
    batches = stream_images(settings, columns, between=between)
    return pa.Table.from_batches(batches, _selected(IMAGES, columns))


def stream_images(
    settings: Settings, columns: Sequence[str], *, between: tuple[str, str] | None = None
) -> Iterator[pa.RecordBatch]:
    """`published_images` as a stream, however many there are."""
    with open_catalog(settings) as catalog:
        known = set(loads_in(catalog).column("load_id").to_pylist())
        yield from scan(load_table(catalog, IMAGES), IMAGES, columns, load_ids=known, between=between)


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
    between: tuple[str, str] | None = None,
    at_once: int = 1,
) -> Iterator[pa.RecordBatch]:
    """Stream columns of a table in the types of `schema`, whatever release wrote the files.

    Memory holds a part of one file: pyiceberg's own reader holds whole files, several at once.

    :param table: None for one that does not exist yet: no rows.
    :param load_ids: only rows of these loads; None for all.
    :param where: an Iceberg row filter on columns of the partition, by which files are left out.
    :param between: only rows with a ``source_ref`` from the one to the other, both included.
    :param at_once: files that are read at the same time; with more than one, all rows may be in memory.
    """
    if table is None:
        return
    loads = sorted(load_ids) if load_ids is not None else None
    wanted = pa.array(loads, pa.string()) if loads is not None else None
    needed = [*columns, *(["load_id"] if wanted is not None else []), *([NAME] if between else [])]
    types = _selected(spec, columns)
    for batch in _batches(
        table, where, list(dict.fromkeys(needed)), between=between, at_once=at_once, loads=loads
    ):
        rows = batch
        if wanted is not None:
            rows = batch.filter(pc.is_in(batch.column("load_id").cast(pa.string()), value_set=wanted))
        if rows.num_rows:
            yield in_types(rows, types)


def _batches(
    table: Table,
    where: str | None,
    columns: Sequence[str],
    *,
    between: tuple[str, str] | None,
    at_once: int,
    loads: list[str] | None,
) -> Iterator[pa.RecordBatch]:
    present = {entry.name for entry in table.schema().fields}
    asked = [name for name in columns if name in present]
    found = planned_files(table, where, tuple(asked))
    if loads is not None:  # who reads a few loads reads no others: a file of one tells it by its name
        of_loads = {*loads, None}
        found = [task for task in found if load_named(task.file.file_path) in of_loads]

    def needs(group: pq.RowGroupMetaData) -> bool:
        told = range_in(group, "load_id") if loads is not None else None
        return told is None or loads is None or bisect_left(loads, told[0]) < bisect_right(loads, told[1])

    def read(task: FileScanTask) -> Iterator[pa.RecordBatch]:
        if task.delete_files:  # of another writer: rows that are deleted in place are pyiceberg's to know
            scan = table.scan(row_filter=row_filter(where), selected_fields=tuple(asked))
            reader = ArrowScan(table.metadata, table.io, scan.projection(), scan.row_filter)
            yield from reader.to_record_batches([task])
            return
        with open_parquet(table, task.file.file_path, pre_buffer=True, as_of=task.file) as file:
            there = [name for name in asked if name in file.schema_arrow.names]
            yield from batches_between(file, there, between, needs)

    if at_once == 1:
        for task in found:
            yield from read(task)
        return
    with ThreadPoolExecutor(at_once) as pool:
        for batches in pool.map(lambda task: list(read(task)), found):
            yield from batches


def lost_rows(catalog: Catalog, specs: Iterable[TableSpec]) -> Iterator[tuple[TableSpec, int]]:
    """The tables that lack rows of published loads, and how many, by what their metadata counts.

    Files of a publish that was not committed do not count, so what it left hides nothing.
    """
    loads = loads_in(catalog).to_pylist()
    for spec in specs:
        wanted = sum(rows_of(load, spec) for load in loads)
        table = load_table(catalog, spec)
        if table is not None and _total(table) == wanted:  # told without a look at any manifest
            continue
        known = {load["load_id"] for load in loads} | {None}
        tasks = planned_files(table) if table is not None else []
        found = sum(task.file.record_count for task in tasks if load_named(task.file.file_path) in known)
        if found < wanted:
            yield spec, wanted - found


def _total(table: Table) -> int | None:
    snapshot = table.current_snapshot()
    total = snapshot.summary.get("total-records") if snapshot and snapshot.summary else None
    return int(total) if total and total.isdecimal() else None


def in_types(rows: pa.RecordBatch, types: pa.Schema) -> pa.RecordBatch:
    """The rows with these columns; one that their file does not have yet is null."""
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


def files_named(table: Table | None, load_id: str, day: str) -> list[DataFile]:
    """The files of the table's current snapshot that carry the load's name: those its publish wrote.

    :param day: the load's ``dt``, ISO.
    """
    if table is None or table.current_snapshot() is None:
        return []
    tasks = planned_files(table, f"dt = '{day}'")
    return _by_path(task.file for task in tasks if load_named(task.file.file_path) == load_id)


def files_of_load(table: Table | None, load_id: str, day: str) -> list[DataFile]:
    """The files of the table's current snapshot that hold the load's rows.

    After a compaction one file may hold rows of several loads, so a reader filters by ``load_id``. A
    compacted file may be among them for its range of load ids alone.

    :param day: the load's ``dt``, ISO.
    """
    if table is None or table.current_snapshot() is None:
        return []
    tasks = planned_files(table, f"dt = '{day}' and load_id = '{load_id}'")
    return _by_path(task.file for task in tasks if load_named(task.file.file_path) in {load_id, None})


def load_named(uri: str) -> str | None:
    """The load whose publish wrote a file, as its name tells; None for a compacted one."""
    found = _LOAD_FILE.search(uri)
    return found[1] if found else None


def _by_path(files: Iterable[DataFile]) -> list[DataFile]:
    return sorted(files, key=lambda file: file.file_path)
