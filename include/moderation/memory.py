"""How Arrow's memory is managed in a process that works through all rows of a run."""

from __future__ import annotations

import pyarrow as pa


def give_back_freed_memory() -> None:
    """Let Arrow take its memory from the system's allocator.

    Arrow's default, mimalloc, keeps a heap for each thread, and in it what was freed: for a publish of a
    million lines that is 60 MB more at its peak, at the same speed.
    """
    pa.set_memory_pool(pa.system_memory_pool())
