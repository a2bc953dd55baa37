"""A listing in order of ``source_ref`` with each object once, whatever order a source lists in.

AWS lists a bucket in that order, and then nothing is sorted. An inventory, or another S3 server, promises
none: then sorted parts of the listing are merged on the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from moderation.sources.listing import SCHEMA
from moderation.storage.row_file import RowFile

_RUN_ROWS = 50_000
_MOST_RUNS = 400
"""Files that are open at once."""
_ORDER = [("source_ref", "ascending"), ("last_modified", "descending")]


def distinct(batches: Iterable[pa.RecordBatch], folder: Path) -> tuple[RowFile, int]:
    """Write the rows to a file sorted by ``source_ref``, and of the same one the newest row only.

    Of several newest the one that was listed first stays.

    :param batches: rows of :data:`moderation.sources.listing.SCHEMA`.
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
    """Sorted parts of the listing, merged: memory holds one part, later a few rows of each."""
    size = max(_RUN_ROWS, -(-listed.rows // _MOST_RUNS))
    batch_rows = max(1, size // -(-listed.rows // size))
    runs = []
    for number, portion in enumerate(listed.portions(size)):
        run = RowFile(folder / f"run-{number}.arrow", SCHEMA)
        with run.writing():
            for batch in _newest(portion.sort_by(_ORDER).to_batches(max_chunksize=batch_rows)):
                run.write(batch)
        runs.append(run)
    yield from _merged([run.batches() for run in runs])
    for run in runs:
        run.delete()


def _merged(runs: list[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Rows of runs in each of which every ``source_ref`` is greater than the one before."""
    heads = [SCHEMA.empty_table() for _ in runs]
    while True:
        for number, run in enumerate(runs):
            while not len(heads[number]) and (batch := next(run, None)) is not None:
                heads[number] = pa.Table.from_batches([batch])
        waiting = [number for number, head in enumerate(heads) if len(head)]
        if not waiting:
            return
        # Up to here every run that goes on has shown all that it has.
        end = min(heads[number]["source_ref"][-1].as_py() for number in waiting)
        parts = []
        for number in waiting:
            count = pc.sum(pc.less_equal(heads[number]["source_ref"], end)).as_py()
            parts.append(heads[number].slice(0, count))
            heads[number] = heads[number].slice(count)
        # A stable sort: of equal rows that of the earlier run comes first, as it was listed.
        yield from pa.concat_tables(parts).sort_by(_ORDER).combine_chunks().to_batches()


def _newest(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Of rows that follow each other with the same ``source_ref`` the first."""
    last: str | None = None
    for batch in batches:
        refs = batch.column("source_ref")
        first = pa.array([refs[0].as_py() != last], pa.bool_())
        differs = pc.not_equal(refs.slice(1), refs.slice(0, len(refs) - 1))
        yield batch.filter(pa.concat_arrays([first, differs]))
        last = refs[-1].as_py()
