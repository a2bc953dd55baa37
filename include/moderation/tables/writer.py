"""Rows to partitioned Parquet files: deterministic, in bounded memory, described for the publisher.

Files are written to a local folder first and moved to their place whole: so a reader never meets half a file,
a full disk is noticed before anything is published, and each file's checksum is that of what was written.
Same rows, same bytes: row groups are cut by rows alone, and nothing in a file depends on time or machine.
Files are encoded in threads of their own, two at a time, so that the next manifest is flattened meanwhile.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from moderation.schema import TABLES, TableSpec, physical_schema
from moderation.storage import parquet
from moderation.tables.row_buffer import RowBuffer

ROW_GROUP_ROWS = 125_000
MAX_FILE_ROWS = 32 * ROW_GROUP_ROWS
"""Four million rows are 60 to 200 MB: files of the size that query engines like."""


_PAGE_ROWS = 20_000
"""Rows of a page, and how many values the encoder takes at once: statistics of dictionaries are worked out
for each batch anew, which with batches of 1,024 is a seventh of all time."""

_MOST_HELD_ROWS = 131_072
"""Rows, of about 200 bytes, that wait for their row group in memory; those beyond wait on the disk. With a
tenth of it nearly all rows would take that way, which costs as much as parsing them."""


@dataclass(frozen=True, kw_only=True)
class DataFile:
    """A finished Parquet file.

    :param table: its table.
    :param relative_path: below the root of the tables, partition folders included.
    :param path: where it lies until it is published.
    :param rows: number of rows.
    :param bytes: size.
    :param sha256: checksum of the content, hex.
    """

    table: str
    relative_path: str
    path: Path
    rows: int
    bytes: int
    sha256: str


class LoadWriter:
    """Writes the files of one load into a spool folder.

    Memory holds the row groups that are being encoded, and a fixed number of rows that wait for theirs to be
    full, however many partitions there are; the others wait on the disk. Use as a context manager; `finish`
    inside the block gives the files. What goes wrong while encoding is raised by a later `write` or `finish`.

    :param spool: empty local folder on a disk with room for the load's files.
    :param stem: what the file names start with, unique to the load and its content.
    :param max_file_rows: a file that has them is closed and another begun.
    """

    def __init__(self, spool: Path, stem: str, *, max_file_rows: int | None = None) -> None:
        self._spool = spool
        self._stem = stem
        self._max_file_rows = max_file_rows or MAX_FILE_ROWS
        self._partitions: dict[tuple[str, tuple[str, ...]], _PartitionWriter] = {}
        self._encoder = _Encoder()

    def __enter__(self) -> LoadWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._encoder.stop()
        for partition in self._partitions.values():
            partition.abandon()

    def write(self, table: TableSpec, rows: pa.Table) -> None:
        """Add rows, all of one partition; their order is kept.

        :param rows: columns in the table's order; text columns may be dictionaries.
        """
        if rows.num_rows == 0:
            return
        values = tuple(str(rows.column(name)[0].as_py()) for name in table.partition_by)
        key = (table.name, values)
        if key not in self._partitions:
            folders = [f"{name}={value}" for name, value in zip(table.partition_by, values, strict=True)]
            folder = "/".join([table.name, *folders])
            self._partitions[key] = _PartitionWriter(
                table, self._spool, folder, self._stem, self._max_file_rows
            )
        partition = self._partitions[key]
        partition.waiting.add(rows)
        if partition.waiting.rows >= ROW_GROUP_ROWS:
            self._encoder.make_room()
            for group in partition.full_groups():
                self._encoder.run(partition, group)
        while sum(partition.waiting.held for partition in self._partitions.values()) > _MOST_HELD_ROWS:
            max((partition.waiting for partition in self._partitions.values()), key=_relief).spill()

    def finish(self) -> list[DataFile]:
        """Close all files; they are listed in the order of `schema.TABLES`, others last, and their paths."""
        for partition in self._partitions.values():
            self._encoder.make_room()
            for group in partition.rest():
                self._encoder.run(partition, group)
        files = self._encoder.finish(self._partitions.values())
        order = {name: index for index, name in enumerate(TABLES)}
        return sorted(files, key=lambda file: (order.get(file.table, len(order)), file.relative_path))


class _Encoder:
    """Encodes row groups in threads, those of one partition one after the other.

    Whoever adds one waits while too many are ahead of it.
    """

    _THREADS = 2
    _MOST_WAITING = 2

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(self._THREADS, thread_name_prefix="parquet")
        self._waiting: deque[Future[None]] = deque()
        self._last: dict[_PartitionWriter, Future[None]] = {}

    def run(self, partition: _PartitionWriter, rows: pa.Table) -> None:
        self.make_room()
        task = self._pool.submit(_encode_after, self._last.get(partition), partition, rows)
        self._last[partition] = task
        self._waiting.append(task)

    def make_room(self) -> None:
        """Wait until another one may be added; called before it is put together, it is not in memory yet."""
        self._drain(leave=self._MOST_WAITING - 1)

    def finish(self, partitions: Iterable[_PartitionWriter]) -> list[DataFile]:
        self._drain()
        return [file for files in self._pool.map(_PartitionWriter.finish, partitions) for file in files]

    def stop(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _drain(self, *, leave: int = 0) -> None:
        while len(self._waiting) > leave:
            self._waiting.popleft().result()


def _encode_after(before: Future[None] | None, partition: _PartitionWriter, rows: pa.Table) -> None:
    if before is not None:
        before.result()
    partition.encode(rows)


class _PartitionWriter:
    """Cuts the rows of one partition into row groups and writes its files.

    `full_groups` and `rest` belong to the caller's thread, `encode` to one of the encoder's at a time, the
    others to whoever comes after both are done.
    """

    def __init__(self, table: TableSpec, spool: Path, folder: str, stem: str, max_file_rows: int) -> None:
        self._max_file_rows = max_file_rows
        self._table = table
        self._schema = _file_schema(table)
        self._spool = spool
        self._folder = folder
        self._stem = stem
        self.waiting = RowBuffer(spool / f"{folder}/{stem}.waiting")
        self._writer: parquet.Writer | None = None
        self._file_rows = 0
        self._finished: list[tuple[str, int]] = []

    def full_groups(self) -> Iterator[pa.Table]:
        """The row groups that are full."""
        joined = self.waiting.take()
        full = joined.num_rows - joined.num_rows % ROW_GROUP_ROWS
        if full < joined.num_rows:
            self.waiting.add(joined.slice(full))
        for start in range(0, full, ROW_GROUP_ROWS):
            yield _compact(joined.slice(start, ROW_GROUP_ROWS))

    def rest(self) -> Iterator[pa.Table]:
        """The last row group, if rows are left."""
        if self.waiting.rows:
            yield _compact(self.waiting.take())

    def encode(self, rows: pa.Table) -> None:
        """Write a row group."""
        if self._writer is None:
            self._writer = self._open_file()
        group = pa.Table.from_arrays(rows.columns, schema=self._schema)
        self._writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
        self._file_rows += rows.num_rows
        if self._file_rows >= self._max_file_rows:
            self._close_file()

    def finish(self) -> list[DataFile]:
        """Close the last file and describe all."""
        self._close_file()
        return list(self._described())

    def _described(self) -> Iterator[DataFile]:
        for relative_path, rows in self._finished:
            path = self._spool / relative_path
            with path.open("rb") as file:
                checksum = hashlib.file_digest(file, "sha256").hexdigest()
            yield DataFile(
                table=self._table.name,
                relative_path=relative_path,
                path=path,
                rows=rows,
                bytes=path.stat().st_size,
                sha256=checksum,
            )

    def abandon(self) -> None:
        """Release the open files after a failure; nobody looks at them any more."""
        with suppress(OSError):  # as below
            self.waiting.close()
        if self._writer is not None:
            writer, self._writer = self._writer, None
            try:
                writer.close()
            except OSError:  # the disk is full, and the failure that led here says so already
                return

    def _open_file(self) -> parquet.Writer:
        relative_path = f"{self._folder}/{self._stem}-{len(self._finished)}.parquet"
        path = self._spool / relative_path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._finished.append((relative_path, 0))
        return parquet.Writer(
            path,
            self._schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=list(self._table.dictionary),
            store_schema=False,
            write_batch_size=_PAGE_ROWS,
            max_rows_per_page=_PAGE_ROWS,
        )

    def _close_file(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        self._finished[-1] = (self._finished[-1][0], self._file_rows)
        self._file_rows = 0


def _relief(buffer: RowBuffer) -> float:
    """What spilling the buffer is good for: rows held, times how long they would have to wait."""
    return buffer.held * (ROW_GROUP_ROWS - buffer.rows) / max(buffer.added, 1)


def _compact(rows: pa.Table) -> pa.Table:
    """The rows in one piece and nothing else: a slice keeps everything alive that it was cut from."""
    joined = rows.unify_dictionaries()
    return pa.table([column.combine_chunks() for column in joined.columns], names=joined.schema.names)


def _file_schema(table: TableSpec) -> pa.Schema:
    """What the writer gets: text of few values as dictionaries (plain text in the file)."""
    text = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            entry.with_type(text) if entry.name in table.dictionary and entry.type == pa.string() else entry
            for entry in physical_schema(table)
        ]
    )
