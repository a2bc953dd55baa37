"""Sorted runs of entries: written, merged, and read by range of ``source_ref``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io import FileIO, load_file_io

from moderation.reference.library_errors import is_disk_full
from moderation.schema import MODERATED
from moderation.settings import Settings
from moderation.storage import parquet, s3_objects
from moderation.storage.row_file import rebatched
from moderation.tables.ledger.layout import COLUMNS, LedgerDamagedError, Part, Run, new_name, part_uri
from moderation.tables.source_ref_ranges import NAME

SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS[:-1]] + [("min_confidence", pa.float64())])
_UNLIKE = ["source_ref", "etag"]
"""Columns in which hardly a value comes twice."""

GROUP_ROWS = 1 << 16
PART_ROWS = 1 << 22
CHUNK_ROWS = 1 << 20
"""Rows that are sorted in memory; more are merged."""


def entries_of(rows: pa.RecordBatch | pa.Table) -> pa.Table:
    """The rows that can settle a question: those with an etag and an answer or a refusal."""
    table = pa.Table.from_batches([rows]) if isinstance(rows, pa.RecordBatch) else rows
    told = pc.or_(pc.equal(table["status"], MODERATED), pc.equal(table["status"], "failed"))
    return table.filter(pc.and_(pc.is_valid(table["etag"]), pc.fill_null(told, False))).cast(SCHEMA)


def sorted_chunks(entries: Iterable[pa.Table], folder: Path) -> list[Path]:
    """Files of at most :data:`CHUNK_ROWS` entries, each in order of ``source_ref``.

    :param folder: an empty one on the local disk.
    """
    paths = []
    for number, chunk in enumerate(rebatched((table for table in entries if len(table)), CHUNK_ROWS)):
        path = folder / f"{number}.parquet"
        ordered = chunk.sort_by(NAME)
        with parquet.Writer(path, SCHEMA, compression="lz4") as writer:
            writer.write_table(ordered, GROUP_ROWS)
        paths.append(path)
    return paths


def of_file(path: Path) -> Iterator[pa.Table]:
    """A local file of entries, row group by row group."""
    with parquet.open_file(path) as file:
        for number in range(file.metadata.num_row_groups):
            yield file.read_row_group(number).cast(SCHEMA)


def merged(streams: Sequence[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """One sorted stream of several; memory holds one table of each.

    :param streams: each in order of ``source_ref``, no table empty.
    """
    held = {
        number: table for number, stream in enumerate(streams) if (table := next(stream, None)) is not None
    }
    while held:
        bound = min(table[NAME][-1].as_py() for table in held.values())
        ready = []
        for number, table in list(held.items()):
            below = pc.sum(pc.less_equal(table[NAME], bound)).as_py()
            ready.append(table.slice(0, below))
            rest = table.slice(below) if below < len(table) else next(streams[number], None)
            if rest is None:
                del held[number]
            else:
                held[number] = rest
        yield pa.concat_tables(ready).sort_by(NAME) if len(ready) > 1 else ready[0]


def write_run(s3: Any, settings: Settings, tables: Iterator[pa.Table], folder: Path) -> Run:
    """Put sorted entries into S3 as the parts of a run, which nothing names yet.

    :param folder: on the local disk, for one part at a time.
    """
    parts = []
    for rows in _cut(rebatched(tables, GROUP_ROWS)):
        name = new_name()
        path = folder / name
        first, last = None, ""
        with parquet.Writer(
            path,
            SCHEMA,
            compression="zstd",
            use_dictionary=[name for name in COLUMNS if name not in _UNLIKE],
            write_statistics=[NAME],
        ) as writer:
            for table in rows:
                writer.write_table(table)
                first = table[NAME][0].as_py() if first is None else first
                last = table[NAME][-1].as_py()
        with pq.ParquetFile(path) as file:
            count, digest = file.metadata.num_rows, parquet.digest_in(file.metadata)
        with path.open("rb") as content:
            s3_objects.put(s3, part_uri(settings, name), content)
        size = path.stat().st_size
        parts.append(Part(name=name, rows=count, bytes=size, first=first or "", last=last, digest=digest))
        path.unlink()
    return tuple(parts)


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

    def stream(self, run: Run) -> Iterator[pa.Table]:
        """A run, row group by row group."""
        for part in run:
            with self.open(part) as file:
                for number in range(file.metadata.num_row_groups):
                    yield file.read_row_group(number).cast(SCHEMA)

    @contextmanager
    def open(self, part: Part) -> Iterator[pq.ParquetFile]:
        """The part, proven to be the one that the index names; for one thread at a time."""
        with (
            self.told(part),
            self._io.new_input(part_uri(self.settings, part.name)).open() as stream,
            parquet.open_file(stream, pre_buffer=True) as file,
        ):
            size = cast(pa.NativeFile, stream).size()
            if size != part.bytes or parquet.digest_in(file.metadata) != part.digest:
                raise OSError("it is not the file that the index names")
            yield file

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
