"""How memory is managed: in a process that works through all rows of a run, and in one of many threads."""

from __future__ import annotations

import os
from collections.abc import Mapping

_KEPT_BYTES = 1 << 20
_OWN_MAPPING_BYTES = 256 << 10
_ARENAS = 2
_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -3, -8
"""Of glibc's malloc.h."""


def choose_allocator() -> None:
    """Let Arrow use the system's allocator, also for its own work; without effect once it is imported.

    Its default, mimalloc, keeps a heap for each thread, and in it what was freed.
    """
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def give_back_freed_memory(*, kept_bytes: int = _KEPT_BYTES) -> None:
    """Let the process keep little of what it freed: a publish of a million lines peaks 90 MB lower for it.

    :param kept_bytes: at the end of each heap.

    Left alone, glibc takes it that buffers of many megabytes are wanted again, keeps them on its heap, and a
    small block behind one keeps the whole; and many threads get a heap of their own, each with what was freed
    in it. The price is a percent or two of processor time.
    """
    import pyarrow as pa  # noqa: PLC0415 - after choose_allocator

    pa.set_memory_pool(pa.system_memory_pool())
    _tell_glibc({_TRIM_THRESHOLD: kept_bytes, _MMAP_THRESHOLD: _OWN_MAPPING_BYTES, _ARENA_MAX: _ARENAS})


def leave_pandas_out() -> None:
    """Let Arrow take it that there is no pandas, of which it loads 45 MB to ask whether a value is a series.

    For a process that converts nothing to pandas; without effect once Arrow has asked. Whoever imports
    pandas afterwards has it.
    """
    import sys  # noqa: PLC0415 - as below

    import pyarrow as pa  # noqa: PLC0415 - after choose_allocator

    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _WithoutPandas())
    try:
        pa.scalar(True)
    finally:
        del sys.meta_path[0]


class _WithoutPandas:
    """Finds modules as if pandas were not installed."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)


def give_back_now() -> None:
    """Let the system have what the process has freed until now, in some 20 ms.

    DuckDB has an allocator of its own, which keeps what was freed while any of its databases goes on: some 60
    MB after a look at all tables. It gives all of it back when a database is closed, and then any does.
    """
    import ctypes  # noqa: PLC0415 - as below
    import sys  # noqa: PLC0415 - as below

    if "duckdb" in sys.modules:
        import duckdb  # noqa: PLC0415 - who has not loaded it has nothing of it

        duckdb.connect(config={"threads": 1}).close()
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def _tell_glibc(options: Mapping[int, int]) -> None:
    import ctypes  # noqa: PLC0415 - every process that imports the package would pay for it

    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        for option, value in options.items():
            library.mallopt(option, value)
