"""Parquet files of which not a single bit can change unnoticed.

Parquet has a checksum for each page, which is written and checked only where that is asked for; and none for
the footer, which tells where the pages are, what they hold and how they are to be read. So the footer holds,
among its key-value metadata, a digest of itself, taken with zeros in its own place, and a checksum of each
column chunk for readers that check no page: any reader of Parquet takes the file for what it is, and ours
notice. Files of earlier releases have none of these and are read as they were.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

_KEY = b"moderation.checksums"
_BLANK = b"0" * 64
_CHUNK = 8
"""Hex digits of the checksum of a column chunk."""

_MAGIC = b"PAR1"
_END = 8
"""Bytes after the footer: its length and the magic word."""

_GROUP_ROWS = 1 << 20
"""Rows of a group of which nothing else is said; more than that Arrow divides."""

_TAIL = 1 << 16
"""What is read at once of a file's end: a footer is hardly ever longer, and in S3 each read is a request."""


class Writer(pq.ParquetWriter):
    """`pyarrow.parquet.ParquetWriter` with checksums of pages and footer.

    :param where: a path, or a file that can be read and written anywhere.
    """

    def __init__(self, where: Path | IO[bytes], schema: pa.Schema, **options: Any) -> None:
        self._where, self._groups = where, 0
        super().__init__(where, schema, write_page_checksum=True, **options)

    def write_table(self, table: pa.Table, row_group_size: int | None = None) -> None:
        """Write rows, as row groups of their own; see the base class."""
        self._groups += max(-(-table.num_rows // (row_group_size or _GROUP_ROWS)), 1)
        super().write_table(table, row_group_size)

    def close(self) -> None:
        """Finish the file; repeated, it does nothing.

        :raises OSError: the disk is full.
        """
        if not self.is_open:
            return
        chunks = self._groups * len(self.schema)
        self.add_key_value_metadata({_KEY: _BLANK + b"0" * _CHUNK * chunks})
        super().close()
        if isinstance(self._where, Path):
            with self._where.open("r+b") as file:
                _seal(file)
        else:
            _seal(self._where)


def write_table(table: pa.Table, where: Path, **options: Any) -> None:
    """Write a file of one table; see :class:`Writer`."""
    with Writer(where, table.schema, **options) as writer:
        writer.write_table(table)


@contextmanager
def open_file(
    source: Path | IO[bytes] | pa.NativeFile, *, pre_buffer: bool = False, read_dictionary: Sequence[str] = ()
) -> Iterator[pq.ParquetFile]:
    """A file whose checksums are checked as it is read, inside the block.

    :param pre_buffer: see :class:`pyarrow.parquet.ParquetFile`, also for ``read_dictionary``.
    :raises FileNotFoundError: there is none.
    :raises OSError: it cannot be read, or a page is damaged; so may reading it later.
    :raises pyarrow.ArrowInvalid: it is no Parquet file, or its footer is damaged.
    """
    with _stream(source) as stream:
        metadata = read_footer(stream)
        proven = pa.PythonFile(Proven(stream, metadata), "r") if _KEY in (metadata.metadata or {}) else stream
        with pq.ParquetFile(
            proven,
            metadata=metadata,
            pre_buffer=pre_buffer,
            read_dictionary=list(read_dictionary),
            page_checksum_verification=True,
        ) as file:
            yield file


def read_footer(stream: pa.NativeFile) -> pq.FileMetaData:
    """What the footer tells, once it is proven.

    :raises pyarrow.ArrowInvalid: it is damaged or cut off.
    """
    size = stream.size()
    tail = stream.read_at(min(size, _TAIL), max(size - _TAIL, 0))
    if len(tail) < len(_MAGIC) + _END or tail[-len(_MAGIC) :] != _MAGIC:
        raise pa.ArrowInvalid("it is no Parquet file, or was cut off")
    length = int.from_bytes(tail[-_END : -len(_MAGIC)], "little")
    if length + _END > size:
        raise pa.ArrowInvalid("its end is damaged")
    if length + _END > len(tail):
        tail = stream.read_at(length + _END, size - length - _END)
    footer = tail[-_END - length : -_END]
    place = _place(footer)
    if place is not None and footer[place : place + len(_BLANK)] != _digest(footer, place):
        raise pa.ArrowInvalid("its footer is damaged: the checksum does not fit")
    return pq.read_metadata(pa.BufferReader(tail[-_END - length :]))


def rows_in(path: Path) -> int | None:
    """How many rows a local file has; None when it is not there, was cut off or is damaged at its end."""
    footer = footer_of(path)
    return None if footer is None else int(footer.num_rows)


def footer_of(path: Path) -> pq.FileMetaData | None:
    """What the footer of a local file tells; None as for :func:`rows_in`."""
    try:
        with _stream(path) as stream:
            return read_footer(stream)
    except (FileNotFoundError, pa.ArrowInvalid):
        return None


def digest_in(metadata: pq.FileMetaData) -> str:
    """The footer's digest of itself and of all columns; "" in a file that has none."""
    return (metadata.metadata or {}).get(_KEY, b"")[: len(_BLANK)].decode()


@dataclass(frozen=True)
class Chunk:
    """The bytes of a column in a row group, from ``begin`` to before ``end``.

    :param checksum: None in a file of an earlier release.
    """

    begin: int
    end: int
    checksum: int | None

    def check(self, content: bytes | memoryview) -> None:
        """Prove the chunk's bytes.

        :raises pyarrow.ArrowInvalid: they are not what was written.
        """
        if self.checksum is not None and zlib.crc32(content) != self.checksum:
            raise pa.ArrowInvalid(
                f"bytes {self.begin:,} to {self.end:,} are damaged: the checksum does not fit"
            )


class _Position(threading.local):
    position = 0


class Proven:
    """A file of which each column chunk is proven before a byte of it is given out, and once.

    Checksums of pages are not enough: the page's header tells how its bytes are to be read, and has none.
    Each thread has its own position: DuckDB and Arrow let several read from one file, each of which first
    moves to a place and then reads.

    :param metadata: its footer.
    """

    def __init__(self, stream: pa.NativeFile, metadata: pq.FileMetaData) -> None:
        self._stream, self._at = stream, _Position()
        self._chunks = sorted(chunks_of(metadata), key=lambda chunk: chunk.begin)
        self._begins = [chunk.begin for chunk in self._chunks]
        self._unproven = {number for number, chunk in enumerate(self._chunks) if chunk.checksum is not None}
        self.size = stream.size()
        self.closed = False

    def seek(self, offset: int, whence: int = 0) -> int:
        """As of any file."""
        self._at.position = offset + (0, self._at.position, self.size)[whence]
        return self._at.position

    def tell(self) -> int:
        """As of any file."""
        return self._at.position

    def read(self, size: int = -1) -> bytes:
        """As of any file.

        :raises pyarrow.ArrowInvalid: a chunk is not what was written.
        """
        begin = self._at.position
        end = self.size if size < 0 else min(begin + size, self.size)
        content: bytes = self._stream.read_at(max(end - begin, 0), begin)
        number = max(bisect_right(self._begins, begin) - 1, 0)
        while number < len(self._chunks) and self._begins[number] < end:
            if number in self._unproven and self._chunks[number].end > begin:
                self._prove(number, content, begin)
            number += 1
        self._at.position = begin + len(content)
        return content

    def _prove(self, number: int, content: bytes, begin: int) -> None:
        """Prove a chunk by what was read from ``begin`` on; what is missing of it is read besides."""
        chunk = self._chunks[number]
        if begin <= chunk.begin and chunk.end <= begin + len(content):
            chunk.check(memoryview(content)[chunk.begin - begin : chunk.end - begin])
        else:
            chunk.check(self._stream.read_at(chunk.end - chunk.begin, chunk.begin))
        self._unproven.discard(number)

    def close(self) -> None:
        """Nothing is read any more; the stream is closed by who opened it."""
        self.closed = True


def chunks_of(metadata: pq.FileMetaData) -> list[Chunk]:
    """The column chunks of a file, row group by row group."""
    sums = (metadata.metadata or {}).get(_KEY, b"")[len(_BLANK) :]
    found: list[Chunk] = []
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            begin = column.data_page_offset
            if column.dictionary_page_offset is not None:
                begin = min(begin, column.dictionary_page_offset)
            place = _CHUNK * len(found)
            checksum = int(sums[place : place + _CHUNK], 16) if sums else None
            found.append(Chunk(begin, begin + column.total_compressed_size, checksum))
    return found


def _seal(file: IO[bytes]) -> None:
    """Put checksums where the writer left room for them."""
    file.seek(-_END, 2)
    length = int.from_bytes(file.read(_END - len(_MAGIC)), "little")
    begin = file.seek(-_END - length, 2)
    end = file.read()
    place = _place(end[:length])
    assert place is not None  # noqa: S101 - the writer has left it
    sums = b"".join(_checksum(file, chunk) for chunk in chunks_of(pq.read_metadata(pa.BufferReader(end))))
    begin_sums = place + len(_BLANK)
    footer = end[:begin_sums] + sums + end[begin_sums + len(sums) : length]
    file.seek(begin + place)
    file.write(_digest(footer, place) + sums)
    file.flush()


def _checksum(file: IO[bytes], chunk: Chunk) -> bytes:
    file.seek(chunk.begin)
    return f"{zlib.crc32(file.read(chunk.end - chunk.begin)):0{_CHUNK}x}".encode()


def _place(footer: bytes) -> int | None:
    """Where in the footer the digest stands; None in a file that has none."""
    place = footer.rfind(_KEY)
    if place < 0:
        return None
    # Between a key and its value Thrift writes the value's type and its length, seven bits a byte.
    place += len(_KEY) + 1
    while place < len(footer) and footer[place] >= 128:
        place += 1
    return place + 1


def _digest(footer: bytes, place: int) -> bytes:
    blanked = footer[:place] + _BLANK + footer[place + len(_BLANK) :]
    return hashlib.sha256(blanked).hexdigest().encode()


@contextmanager
def _stream(source: Path | IO[bytes] | pa.NativeFile) -> Iterator[pa.NativeFile]:
    if isinstance(source, pa.NativeFile):
        yield source
        return
    with pa.OSFile(str(source), "rb") if isinstance(source, Path) else pa.PythonFile(source, "r") as stream:
        yield stream
