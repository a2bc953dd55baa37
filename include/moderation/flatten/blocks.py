"""A results file as blocks of whole lines, with bounded memory whatever the file holds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from moderation.flatten.parsed_block import MAX_LINE_BYTES

DEFAULT_BLOCK_BYTES = 4 * 1024 * 1024

_BOM = b"\xef\xbb\xbf"
_NEWLINE = b"\n"
_LONGEST = MAX_LINE_BYTES + 1
"""A line that is too long is cut one byte past the limit, where the parsers recognise it."""

_PIECE = 64 * 1024
"""What is read and looked at in one go: stays in the processor's cache, and in malloc's."""

_spare: list[bytearray] = []
"""Buffers of files that are read to their end: memory that is new to a process costs more than parsing it."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def iter_blocks(
    stream: _Readable, *, block_bytes: int = DEFAULT_BLOCK_BYTES
) -> Iterator[tuple[bytes | memoryview, int]]:
    """Cut a stream into blocks of whole lines.

    Memory is bounded by ``block_bytes + MAX_LINE_BYTES`` whatever the stream holds. A UTF-8 byte order mark
    at the start is dropped; a line beyond `MAX_LINE_BYTES` is cut there and stays one line.

    :param stream: anything with ``read(size)``, read once to its end; not closed here.
    :returns: pairs of a block and the number of its first line, as `parse_block` takes them. A block holds
        until the next one is asked for: its memory is used again.
    """
    buffer = _buffer(block_bytes + _LONGEST)
    try:
        yield from _cut(stream, buffer, block_bytes)
    finally:
        _spare[:] = [buffer]


def _buffer(size: int) -> bytearray:
    try:
        buffer = _spare.pop()
    except IndexError:
        return bytearray(size)
    return buffer if len(buffer) == size else bytearray(size)


def _cut(stream: _Readable, buffer: bytearray, block_bytes: int) -> Iterator[tuple[memoryview | bytes, int]]:
    view = memoryview(buffer)
    first_line = 1
    rest = _fill(stream, view[: len(_BOM)])
    if view[:rest] == _BOM:
        rest = 0
    skipping = False
    while added := _fill(stream, view[rest : rest + block_bytes]):
        end = rest + added
        if skipping:
            newline = buffer.find(_NEWLINE, rest, end)
            if newline < 0:
                continue
            view[rest : rest + end - newline] = bytes(view[newline:end])
            end, skipping = rest + end - newline, False
        cut = buffer.rfind(_NEWLINE, 0, end) + 1
        if cut:
            yield _clipped(buffer, cut), first_line
            first_line += _count_lines(view[:cut])
        rest = end - cut
        view[:rest] = bytes(view[cut:end])
        if rest >= _LONGEST:
            rest, skipping = _LONGEST, True
    if rest:
        yield _clipped(buffer, rest), first_line


def _fill(stream: _Readable, target: memoryview) -> int:
    """Read until the target is full or the stream at its end; gives how much was read."""
    filled = 0
    while filled < len(target) and (piece := stream.read(min(_PIECE, len(target) - filled))):
        target[filled : filled + len(piece)] = piece
        filled += len(piece)
    return filled


def _count_lines(block: memoryview) -> int:
    """As ``bytes.count``, in a fifth of the time."""
    data = np.frombuffer(block, dtype=np.uint8)
    pieces = range(0, len(data), _PIECE)
    return sum(int(np.count_nonzero(data[at : at + _PIECE] == _NEWLINE[0])) for at in pieces)


def _clipped(buffer: bytearray, size: int) -> memoryview | bytes:
    """The lines at the start of the buffer, those that are too long cut."""
    start = 0
    while size - start > _LONGEST:
        end = buffer.rfind(_NEWLINE, start, start + _LONGEST + 1)
        if end < 0:
            return _NEWLINE.join(line[:_LONGEST] for line in bytes(buffer[:size]).split(_NEWLINE))
        start = end + 1
    return memoryview(buffer)[:size]
