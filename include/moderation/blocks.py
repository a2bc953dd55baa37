"""A results file as blocks of whole lines, with bounded memory whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from moderation.parse import MAX_LINE_BYTES

DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_NEWLINE = ord("\n")


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
        data = chunk
        if skipping:
            end = data.find(b"\n")
            if end < 0:
                continue
            data, skipping = data[end:], False
        data = rest + data
        cut = data.rfind(b"\n") + 1
        rest = data[cut:]
        if cut:
            yield _clipped(data[:cut]), first_line
            first_line += int(np.count_nonzero(np.frombuffer(data, dtype=np.uint8, count=cut) == _NEWLINE))
        if len(rest) > MAX_LINE_BYTES:
            rest, skipping = rest[: MAX_LINE_BYTES + 1], True
    if rest:
        yield _clipped(rest), first_line


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
    if len(block) <= limit:
        return block
    ends = np.flatnonzero(np.frombuffer(block, dtype=np.uint8) == _NEWLINE)
    if np.diff(ends, prepend=-1, append=len(block)).max() <= limit + 1:
        return block
    return b"\n".join(line[:limit] for line in block.split(b"\n"))
