"""A listing in order of ``source_ref`` with each object once, whatever order a source lists in.

AWS lists a bucket in that order, and then nothing is sorted. An inventory, or another S3 server, promises
none: then DuckDB sorts, on the disk beyond a fixed amount of memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.listing import BATCH_ROWS, SCHEMA
from moderation.row_file import RowFile

_SORT_MEMORY = "48MB"
_SORTABLE = SCHEMA.set(SCHEMA.get_field_index("last_modified"), pa.field("last_modified", pa.int64())).append(
    pa.field("position", pa.int64())
)


def distinct(batches: Iterable[pa.RecordBatch], folder: Path) -> tuple[RowFile, int]:
    """Write the rows to a file sorted by ``source_ref``, and of the same one the newest row only.

    Of several newest the one that was listed first stays.

    :param batches: rows of :data:`moderation.listing.SCHEMA`.
    :param folder: on a disk with room for the listing, twice.
    :returns: the file, and how many rows were dropped.
    """
    listed = RowFile(folder / "listed.arrow", SCHEMA)
    in_order, last = True, None
    with listed.writing():
        for batch in batches:
            listed.write(batch)
            if in_order and batch.num_rows:
                in_order, last = _ascends(batch.column("source_ref"), last), batch.column("source_ref")[-1]
    if in_order:
        return listed, 0
    found = RowFile(folder / "distinct.arrow", SCHEMA)
    with found.writing():
        for batch in _newest(_sorted(listed, folder)):
            found.write(batch)
    listed.delete()
    return found, listed.rows - found.rows


def _ascends(refs: pa.StringArray, last: pa.StringScalar | None) -> bool:
    """Whether each is greater than the one before, by the bytes of their UTF-8."""
    if last is not None and not pc.greater(refs[0], last).as_py():
        return False
    return bool(pc.all(pc.greater(refs.slice(1), refs.slice(0, len(refs) - 1)), min_count=0).as_py())


def _sorted(listed: RowFile, folder: Path) -> Iterator[pa.RecordBatch]:
    import duckdb  # noqa: PLC0415 - takes long, and a bucket that AWS lists is in order

    # One thread, for each has buffers of its own.
    config: dict[str, Any] = {"memory_limit": _SORT_MEMORY, "threads": "1", "temp_directory": str(folder)}
    with duckdb.connect(config=config) as connection:
        connection.register("listed", pa.RecordBatchReader.from_batches(_SORTABLE, _sortable(listed)))
        found = connection.sql(
            "SELECT * EXCLUDE position FROM listed "
            "ORDER BY source_ref, last_modified DESC NULLS LAST, position"
        )
        for batch in found.to_arrow_reader(BATCH_ROWS):
            yield pa.RecordBatch.from_arrays(
                [
                    batch.column(entry.name).cast(pa.int64()).cast(entry.type)
                    if entry.name == "last_modified"
                    else batch.column(entry.name).cast(entry.type)
                    for entry in SCHEMA
                ],
                schema=SCHEMA,
            )


def _sortable(listed: RowFile) -> Iterator[pa.RecordBatch]:
    """The rows with their time as a number, which needs no time zone, and with their place."""
    start = 0
    for batch in listed.batches():
        columns = [column.cast(entry.type) for column, entry in zip(batch, _SORTABLE, strict=False)]
        position = pa.arange(start, start + batch.num_rows)
        yield pa.RecordBatch.from_arrays([*columns, position], schema=_SORTABLE)
        start += batch.num_rows


def _newest(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of rows that follow each other with the same ``source_ref`` the first."""
    last: str | None = None
    for batch in batches:
        refs = batch.column("source_ref")
        first = pa.array([refs[0].as_py() != last], pa.bool_())
        differs = pc.not_equal(refs.slice(1), refs.slice(0, len(refs) - 1))
        yield batch.filter(pa.concat_arrays([first, differs]))
        last = refs[-1].as_py()
