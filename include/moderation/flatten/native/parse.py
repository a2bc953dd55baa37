"""Result lines to Arrow columns in compiled code: the twin of `python.parse`, many times as fast."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

from moderation.flatten.native import library
from moderation.flatten.parsed_block import LABELS_SCHEMA, LINES_SCHEMA, ParsedBlock

MAX_BLOCK_BYTES = 256 * 1024 * 1024
"""What larger blocks hold may not fit: the string columns have 32-bit offsets."""


def parse_block(block: bytes | memoryview, first_line: int) -> ParsedBlock | None:
    """As `moderation.flatten.parse.parse_block`.

    :returns: None when there is no library, or the block is longer than `MAX_BLOCK_BYTES`.
    :raises MemoryError: the columns do not fit into memory.
    """
    native = library.load()
    if native is None or len(block) > MAX_BLOCK_BYTES:
        return None
    data = pa.py_buffer(block)
    address = native.moderation_parse(data.address, data.size, first_line)
    if not address:
        raise MemoryError(f"no memory to parse a block of {len(block)} bytes")
    owned = library.Owned(native.moderation_free, address)
    views = iter(native.moderation_columns(address)[: len(LINES_SCHEMA) + len(LABELS_SCHEMA) + 1])
    return ParsedBlock(
        lines=_to_batch(LINES_SCHEMA, views, owned),
        labels=_to_batch(LABELS_SCHEMA, views, owned),
        strings=library.to_array(pa.string(), next(views), owned),
    )


def _to_batch(schema: pa.Schema, views: Iterator[library.View], owned: library.Owned) -> pa.RecordBatch:
    fields: Iterable[pa.Field] = schema
    return pa.RecordBatch.from_arrays(
        [library.to_array(field.type, next(views), owned) for field in fields], schema=schema
    )
