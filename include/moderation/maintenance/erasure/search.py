"""Whether a file still names an image, whatever kind of file it is."""

from __future__ import annotations

import gzip
import io
import logging
import zlib
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from moderation.maintenance.erasure.wanted import Wanted, names_one, needles

_PARQUET = b"PAR1"
_AVRO = b"Obj\x01"
_GZIP = b"\x1f\x8b"
_log = logging.getLogger(__name__)


def names_in(body: bytes, wanted: Wanted) -> bool:
    """Whether a file's bytes, unpacked where they are packed, name a key or content that is to be erased."""
    return names_any(body, needles(wanted.keys, wanted.contents))


def names_any(body: bytes, texts: Collection[bytes]) -> bool:
    """Whether the bytes as they lie, or what they hold packed, name one of these texts."""
    return names_one(body, texts) or any(names_one(part, texts) for part in _unpacked(body))


def _unpacked(body: bytes) -> Iterator[bytes]:
    """What is in a file whose bytes are packed; nothing for one that says what it says."""
    try:
        if body.startswith(_PARQUET):
            yield from _texts_of_parquet(body)
        elif body.startswith(_AVRO):
            yield from _blocks_of_avro(body)
        elif body.startswith(_GZIP):
            yield gzip.decompress(body)
    except (OSError, EOFError, IndexError, ValueError, zlib.error, pa.ArrowException) as error:
        _log.info("a file cannot be unpacked and was searched as it lies: %s", type(error).__name__)


def _texts_of_parquet(body: bytes) -> Iterator[bytes]:
    with pq.ParquetFile(io.BytesIO(body)) as file:
        for number in range(file.metadata.num_row_groups):
            group = file.metadata.row_group(number)
            for place in range(group.num_columns):
                told = group.column(place).statistics
                if told is not None and told.has_min_max:
                    yield f"{told.min}\n{told.max}\n".encode("utf-8", "surrogatepass")
        texts = [entry.name for entry in file.schema_arrow if pa.types.is_string(entry.type)]
        for batch in file.iter_batches(columns=texts):
            for column in batch.columns:
                values = (value for value in column.to_pylist() if value is not None)
                yield "\n".join(values).encode("utf-8", "surrogatepass")


def _blocks_of_avro(body: bytes) -> Iterator[bytes]:
    """The blocks of an Avro file, as its specification has them: a header of texts, then deflated blocks."""
    deflated = b"avro.codec\x0edeflate" in body[:4096]
    sync = body[-16:]
    place = body.find(sync) + len(sync)
    while place < len(body):
        _, place = _long(body, place)
        size, place = _long(body, place)
        block = body[place : place + size]
        yield zlib.decompress(block, -15) if deflated else block
        place += size + len(sync)


def _long(body: bytes, place: int) -> tuple[int, int]:
    """A number of Avro and the place behind it."""
    value = shift = 0
    while True:
        byte = body[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return (value >> 1) ^ -(value & 1), place
