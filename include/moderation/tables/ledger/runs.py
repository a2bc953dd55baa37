"""Sorted runs of entries: written, merged, and read by row group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO, load_file_io

from moderation.reference.library_errors import is_disk_full
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.row_file import rebatched
from moderation.tables.ledger.layout import LedgerDamagedError, Part, Run, new_name, part_uri
from moderation.tables.ledger.orders import BITS, Order, bits_of

PART_ROWS = 1 << 22
_BITS_GROUP_ROWS = 1 << 17
_CHUNK_GROUP_ROWS = 1 << 13


class Chunks:
    """Entries on their way to a run: sorted in files of at most about ``order.chunk_rows`` entries.

    :param folder: on the local disk.
    """

    def __init__(self, order: Order, folder: Path) -> None:
        self._order, self._folder = order, folder
        self._held: list[pa.Table] = []
        self._paths: list[Path] = []

    def add(self, rows: pa.Table) -> None:
        """Take what the order keeps of published rows."""
        entries = self._order.of_rows(rows)
        if len(entries):
            self._held.append(entries)
            if sum(map(len, self._held)) >= self._order.chunk_rows:
                self._flush()

    def sorted(self) -> Iterator[pa.Table]:
        """All that was taken, in order; once."""
        self._flush()
        return merged([_of_file(path, self._order) for path in self._paths], self._order.key)

    def _flush(self) -> None:
        if not self._held:
            return
        path = self._folder / f"{self._order.name}-{len(self._paths)}.parquet"
        ordered = pa.concat_tables(self._held).sort_by(self._order.key)
        with parquet.Writer(path, self._order.schema, compression="lz4") as writer:
            writer.write_table(ordered, _CHUNK_GROUP_ROWS)
        self._paths.append(path)
        self._held = []


def _of_file(path: Path, order: Order) -> Iterator[pa.Table]:
    with parquet.open_file(path) as file:
        for number in range(file.metadata.num_row_groups):
            yield file.read_row_group(number).cast(order.schema)


def merged(streams: Sequence[Iterator[pa.Table]], key: str) -> Iterator[pa.Table]:
    """One sorted stream of several; memory holds one table of each.

    :param streams: each in order of the key, no table empty.
    """
    held = {
        number: table for number, stream in enumerate(streams) if (table := next(stream, None)) is not None
    }
    while held:
        bound = min(table[key][-1].as_py() for table in held.values())
        ready = []
        for number, table in list(held.items()):
            below = pc.sum(pc.less_equal(table[key], bound)).as_py()
            ready.append(table.slice(0, below))
            rest = table.slice(below) if below < len(table) else next(streams[number], None)
            if rest is None:
                del held[number]
            else:
                held[number] = rest
        yield pa.concat_tables(ready).sort_by(key) if len(ready) > 1 else ready[0]


def write_run(s3: Any, settings: Settings, order: Order, tables: Iterator[pa.Table], folder: Path) -> Run:
    """Put sorted entries into S3 as the parts of a run, which nothing names yet.

    :param folder: on the local disk, for one part at a time.
    """
    return tuple(
        _write_part(s3, settings, order, rows, folder) for rows in _cut(rebatched(tables, order.group_rows))
    )


def _write_part(s3: Any, settings: Settings, order: Order, rows: Iterator[pa.Table], folder: Path) -> Part:
    path, bits = folder / new_name(), []
    first, last = None, ""
    with parquet.Writer(
        path,
        order.schema,
        compression="zstd",
        use_dictionary=[name for name in order.schema.names if name not in order.unlike],
        write_statistics=[order.key],
    ) as writer:
        for table in rows:
            writer.write_table(table)
            keys = table[order.key]
            first = keys[0].as_py() if first is None else first
            last = keys[-1].as_py()
            if order.has_bits:
                bits.append(bits_of(keys))
    part = _put(s3, settings, path, first or "", last)
    if not order.has_bits:
        return part
    path = folder / new_name()
    with parquet.Writer(
        path,
        BITS,
        compression="none",
        use_dictionary=False,
        column_encoding=dict.fromkeys(BITS.names, "DELTA_BINARY_PACKED"),
    ) as writer:
        writer.write_table(pa.table([np.concatenate(bits)], schema=BITS), _BITS_GROUP_ROWS)
    return replace(part, bits=_put(s3, settings, path, part.first, part.last))


def _put(s3: Any, settings: Settings, path: Path, first: str, last: str) -> Part:
    """Put a file into S3 and delete it here."""
    with pq.ParquetFile(path) as file:
        count, digest = file.metadata.num_rows, parquet.digest_in(file.metadata)
    with path.open("rb") as content:
        s3_objects.put(s3, part_uri(settings, path.name), content)
    size = path.stat().st_size
    path.unlink()
    return Part(name=path.name, rows=count, bytes=size, first=first, last=last, digest=digest)


def _cut(tables: Iterator[pa.Table]) -> Iterator[Iterator[pa.Table]]:
    """Row groups of a part each; a part is used up before the next is asked for."""
    for first in tables:

        def part(first: pa.Table = first) -> Iterator[pa.Table]:
            yield first
            rows = len(first)
            while rows < PART_ROWS and (table := next(tables, None)) is not None:
                rows += len(table)
                yield table

        yield part()


class Files:
    """Reads parts from S3.

    :param access: properties of an open catalog, by which Arrow reaches S3.

    :raises LedgerDamagedError: from each method: a part is missing or not what was written.
    """

    def __init__(self, settings: Settings, access: Mapping[str, str]) -> None:
        self.settings = settings
        self._io: FileIO = load_file_io(dict(access), location=settings.work_uri)

    def stream(self, run: Run, order: Order) -> Iterator[pa.Table]:
        """A run, row group by row group."""
        for part in run:
            with self.open(part) as file:
                for number in range(file.metadata.num_row_groups):
                    yield file.read_row_group(number).cast(order.schema)

    @contextmanager
    def open(self, part: Part, order: Order | None = None) -> Iterator[pq.ParquetFile]:
        """The part, proven to be the one that the index names; for one thread at a time.

        :param order: with it, text of few values is read as it is written, as a dictionary.
        """
        few = [] if order is None else order.of_few_values
        with (
            self.told(part),
            self._io.new_input(part_uri(self.settings, part.name)).open() as stream,
            parquet.open_file(stream, pre_buffer=True, read_dictionary=few) as file,
        ):
            size = cast(pa.NativeFile, stream).size()
            if size != part.bytes or parquet.digest_in(file.metadata) != part.digest:
                raise OSError("it is not the file that the index names")
            yield file

    def prove(self, s3: Any, part: Part, folder: Path) -> None:
        """Read all of the part, and hold it against what was written.

        :param folder: on the local disk.
        """
        path = folder / part.name
        uri = part_uri(self.settings, part.name)
        with path.open("wb") as copy, self.told(part):
            if not s3_objects.exists(s3, uri):
                raise OSError("it is missing")
            s3_objects.download(s3, uri, copy)
        with self.told(part), pa.OSFile(str(path)) as stream:
            footer = parquet.read_footer(stream)
            if path.stat().st_size != part.bytes or parquet.digest_in(footer) != part.digest:
                raise OSError("it is not the file that the index names")
            for chunk in parquet.chunks_of(footer):
                chunk.check(stream.read_at(chunk.end - chunk.begin, chunk.begin))
        path.unlink()

    @contextmanager
    def told(self, part: Part) -> Iterator[None]:
        """Say of what goes wrong inside that the part is damaged."""
        try:
            yield
        except (OSError, pa.ArrowException, UnicodeDecodeError) as error:
            if is_disk_full(error):  # of what is written meanwhile
                raise
            uri = part_uri(self.settings, part.name)
            raise LedgerDamagedError(f"{uri}: {error}; the ledger is made anew from the tables") from error
