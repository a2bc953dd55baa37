"""How memory is managed in a process that works through all rows of a run."""

from __future__ import annotations

import os

_KEPT_BYTES = 1 << 20
_OWN_MAPPING_BYTES = 256 << 10
_ARENAS = 2
_MALLOPT = {-1: _KEPT_BYTES, -3: _OWN_MAPPING_BYTES, -8: _ARENAS}
"""glibc's M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of malloc.h."""


def choose_allocator() -> None:
    """Let Arrow use the system's allocator, also for its own work; without effect once it is imported.

    Its default, mimalloc, keeps a heap for each thread, and in it what was freed.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_back_freed_memory() -> None:
    """Let the process keep little of what it freed: a publish of a million lines peaks 90 MB lower for it.

    Left alone, glibc takes it that buffers of many megabytes are wanted again, keeps them on its heap, and a
    small block behind one keeps the whole. The price is a percent or two of processor time.
    """
    import ctypes  # noqa: PLC0415 - every process that imports the package would pay for it

    import pyarrow as pa  # noqa: PLC0415 - after choose_allocator

    pa.set_memory_pool(pa.system_memory_pool())
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in _MALLOPT.items():
            library.mallopt(option, value)
