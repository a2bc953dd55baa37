"""Gives freed memory back to the system, where the C library needs to be asked."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache


def release_unused() -> None:
    """Return free heap pages to the system (glibc; elsewhere nothing happens). Takes about 10 ms.

    glibc keeps what the networks and large pictures free, 150 MB here, for their next use by the same thread.
    """
    if trim := _malloc_trim():
        trim(0)


@lru_cache(maxsize=1)
def _malloc_trim() -> Callable[[int], int] | None:
    try:
        trim: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    except (OSError, TypeError):  # no dynamic C library, or Windows
        return None
    return trim
