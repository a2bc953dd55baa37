"""Rows on the local disk: written once, then read as often as wanted, one portion in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

PORTION_ROWS = 50_000
"""Rows that a stage works on at once: enough that the work itself counts, a few megabytes of them."""

_BATCH_ROWS = 10_000
_OPTIONS = pa.ipc.IpcWriteOptions(compression="lz4")


class RowFile:
    """Rows of one schema in a temporary file, in the order in which they were written.

    :param path: a file that is not there yet.
    :ivar rows: how many were written.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.schema, self.rows = path, schema, 0
        self._writer: pa.ipc.RecordBatchStreamWriter | None = None

    @contextmanager
    def writing(self) -> Iterator[RowFile]:
        """Take rows by :meth:`write` inside the block; afterwards they can be read.

        :raises OSError: the disk is full.
        """
        with pa.OSFile(str(self.path), "wb") as file:
            with pa.ipc.new_stream(file, self.schema, options=_OPTIONS) as self._writer:
                yield self
            self._writer = None

    def write(self, rows: pa.Table | pa.RecordBatch) -> None:
        """Add rows of the file's schema."""
        assert self._writer is not None  # noqa: S101 - only inside `writing`
        table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
        self._writer.write_table(table, max_chunksize=_BATCH_ROWS)
        self.rows += table.num_rows

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows in batches of any size."""
        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as reader:
            yield from reader

    def portions(self, rows: int = PORTION_ROWS) -> Iterator[pa.Table]:
        """The rows in tables of exactly ``rows`` rows, only the last of which may have fewer."""
        yield from rebatched((pa.Table.from_batches([batch]) for batch in self.batches()), rows)

    def delete(self) -> None:
        """Free the disk."""
        self.path.unlink(missing_ok=True)


def rebatched(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in tables of exactly ``rows`` rows each in one piece; the last one may have fewer."""
    held: list[pa.Table] = []
    count = 0
    for table in tables:
        held.append(table)
        count += table.num_rows
        while count >= rows:
            joined = pa.concat_tables(held)
            yield joined.slice(0, rows).combine_chunks()
            count -= rows
            held = [joined.slice(rows)] if count else []
    if count:
        yield pa.concat_tables(held).combine_chunks()
