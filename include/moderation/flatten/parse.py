"""Result lines to Arrow columns: compiled where that can be had, in Python elsewhere, with equal results."""

from __future__ import annotations

from moderation.flatten.native import parse as compiled
from moderation.flatten.parsed_block import ParsedBlock
from moderation.flatten.python import parse as definition


def parse_block(block: bytes | memoryview, first_line: int) -> ParsedBlock:
    """Parse whole lines of a results file; never fails, whatever the bytes are.

    :param block: lines as `moderation.flatten.blocks.iter_blocks` cuts them.
    :param first_line: number of the block's first line in its file, 1-based.
    :raises MemoryError: the block's columns do not fit into memory.
    """
    parsed = compiled.parse_block(block, first_line)
    return definition.parse_block(block, first_line) if parsed is None else parsed
