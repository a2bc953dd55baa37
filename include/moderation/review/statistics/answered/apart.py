"""Rows put apart by a number, in a file: first all are added, then those of one number are read together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa


class Apart:
    """Rows put apart, compressed in a file that is open as long as the block goes on.

    :param path: the file.
    :param parts: how many numbers there are.
    """

    def __init__(self, path: Path, parts: int) -> None:
        self._path = path
        self._opened = ExitStack()
        self._writer: pa.RecordBatchFileWriter | None = None
        self._reader: pa.RecordBatchFileReader | None = None
        self.rows = np.zeros(parts, np.int64)
        """How many rows each part has."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def add(self, batch: pa.RecordBatch, numbers: np.ndarray) -> None:
        """Add rows, all of the same columns.

        :param numbers: the part of each.
        """
        if self._writer is None:
            options = pa.ipc.IpcWriteOptions(compression="zstd")
            self._writer = self._opened.enter_context(
                pa.ipc.new_file(self._path, batch.schema, options=options)
            )
        order = np.argsort(numbers, kind="stable")
        ends = np.searchsorted(numbers, np.arange(self.rows.size + 1), sorter=order)
        self.rows += np.diff(ends)
        apart = batch.take(pa.array(order))
        for first, last in pairwise(ends.tolist()):
            self._writer.write_batch(apart.slice(first, last - first))

    def part(self, number: int) -> Iterator[pa.RecordBatch]:
        """The rows of a part; nothing can be added afterwards."""
        if self._writer is None:
            return
        if self._reader is None:
            self._opened.close()
            source = self._opened.enter_context(pa.OSFile(str(self._path)))
            self._reader = self._opened.enter_context(pa.ipc.open_file(source))
        for place in range(number, self._reader.num_record_batches, self.rows.size):
            yield self._reader.get_batch(place)
