"""The published tables as pages ask them: in bounded memory, for others work in the same process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import duckdb

from moderation.query.published_views import open_published
from moderation.settings import Settings
from moderation.storage.memory import give_back_now
from moderation.variables import values
from moderation.variables.machine import MachineSettings

QUEUE, INDEX = 500, 200
"""Bytes an image. What does not fit lies on the disk, but not all that DuckDB sorts and joins may: over a
million images, a queue ran out of 250 MB and an index of 128."""

_MOST = 1_000_000_000
"""Bytes that a number of images alone gives."""

_PLAIN, _MORE = 3, 4
"""Times what may be taken at first where what ran out is done again: plain looks are not, and a list of the
labels of one load of 100,000 images ran out of 64 MB."""

T = TypeVar("T")

_looking = threading.RLock()


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let no other thread look at the tables: each look has its memory, and both cores are busy with one.

    Who is in here asks for no index, for who makes one waits to get in.
    """
    with _looking:
        try:
            yield
        finally:
            give_back_now()


@contextmanager
def look_at(
    settings: Settings, times: int = _PLAIN, *, each: int = 0, **shown: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    """`open_published` in no more memory than a page may take, for one thread after the other.

    :param times: as often what a queue or an index may take at first, see :func:`with_enough`.
    :param each: bytes for each image that is shown, where that is more.
    :param shown: ``load_id``, ``since``, ``until``.
    """
    with one_at_a_time(), look_in_turns(settings, times, each=each, **shown) as looked:
        yield looked


@contextmanager
def look_in_turns(
    settings: Settings, times: int = _PLAIN, *, each: int = 0, **shown: Any
) -> Iterator[duckdb.DuckDBPyConnection]:
    """The same for what takes long: each of its steps is within `one_at_a_time`, others have theirs between.

    :param times: as of `look_at`.
    :param each: as of `look_at`.
    """

    def memory(images: int) -> str:
        return memory_for(images, each, times=times)

    give_back_now()
    with open_published(settings, memory=memory, **shown) as looked:
        yield looked


def memory_for(images: int, each: int, *, times: int = 1, share: int = 1) -> str:
    """What DuckDB may take for a page over so many images.

    :param each: bytes for each of them, where that is more than what any page gets.
    :param share: how many parts of it there are, of which it may take one.
    """
    least = values.bytes_in(MachineSettings.from_env().console_memory)
    return f"{times * max(least, min(images * each, _MOST)) // share // 1_000_000}MB"


def with_enough(work: Callable[[int], T]) -> T:
    """What the work gives; done again with more where DuckDB had too little memory, as for very long names.

    :param work: is given `times` of :func:`look_at` and :func:`memory_for`.
    """
    try:
        return work(1)
    except duckdb.OutOfMemoryException:
        return work(_MORE)
