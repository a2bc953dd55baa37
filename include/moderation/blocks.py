"""A results file as blocks of whole lines, with bounded memory whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from moderation.parse import MAX_LINE_BYTES

DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_NEWLINE = b"\n"
_PIECE = 256 * 1024


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def iter_blocks(stream: _Readable, *, block_bytes: int = DEFAULT_BLOCK_BYTES) -> Iterator[tuple[bytes, int]]:
    """Cut a stream into blocks of whole lines.

    Memory is bounded by ``block_bytes + MAX_LINE_BYTES`` whatever the stream holds. A UTF-8 byte order mark
    at the start is dropped; a line beyond `MAX_LINE_BYTES` is cut there and stays one line.

    :param stream: anything with ``read(size)``, read once to its end; not closed here.
    :returns: pairs of a block and the number of its first line, as `parse_block` takes them.
    """
    first_line = 1
    rest = b""
    skipping = False
    for chunk in _chunks(stream, block_bytes):
        start = chunk.find(_NEWLINE) if skipping else 0
        if start < 0:
            continue
        skipping = False
        cut = chunk.rfind(_NEWLINE) + 1
        if cut > start:
            whole = not rest and start == 0 and cut == len(chunk)
            block = _clipped(chunk if whole else b"".join((rest, memoryview(chunk)[start:cut])))
            yield block, first_line
            first_line += _count_lines(block)
            rest = chunk[cut:]
        else:
            rest += chunk[start:]
        if len(rest) > MAX_LINE_BYTES:
            rest, skipping = rest[: MAX_LINE_BYTES + 1], True
    if rest:
        yield _clipped(rest), first_line


def _count_lines(block: bytes) -> int:
    """As ``block.count``, in a fifth of the time: vectorised, and piecewise to stay in the cache."""
    data = np.frombuffer(block, dtype=np.uint8)
    pieces = range(0, len(data), _PIECE)
    return sum(int(np.count_nonzero(data[at : at + _PIECE] == _NEWLINE[0])) for at in pieces)


def _chunks(stream: _Readable, size: int) -> Iterator[bytes]:
    head = b""
    while len(head) < len(_BOM) and (chunk := stream.read(size)):
        head += chunk
    head = head.removeprefix(_BOM)
    if head:
        yield head
    while chunk := stream.read(size):
        yield chunk


def _clipped(block: bytes) -> bytes:
    """Cut lines that are too long one byte past the limit, where `_classify` recognises them."""
    limit = MAX_LINE_BYTES + 1
    start = 0
    while len(block) - start > limit:
        end = block.rfind(_NEWLINE, start, start + limit + 1)
        if end < 0:
            return _NEWLINE.join(line[:limit] for line in block.split(_NEWLINE))
        start = end + 1
    return block
