"""The published tables as pages ask them: in bounded memory, for others work in the same process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from moderation.query.published_views import open_published
from moderation.settings import Settings
from moderation.variables import values
from moderation.variables.machine import MachineSettings

QUEUE, INDEX = 500, 200
"""Bytes an image. What does not fit lies on the disk, but not all that DuckDB sorts and joins may: over a
million images, a queue ran out of 250 MB and an index of 128."""


@contextmanager
def look_at(settings: Settings, **shown: Any) -> Iterator[duckdb.DuckDBPyConnection]:
    """`open_published` in no more memory than a page may take.

    :param shown: ``load_id``, ``since``, ``until``.
    """
    with open_published(settings, memory=memory_for, **shown) as connection:
        yield connection


def memory_for(images: int, each: int = QUEUE) -> str:
    """What DuckDB may take for a page over so many images.

    :param each: bytes for each of them, where that is more than what any page gets.
    """
    least = values.bytes_in(MachineSettings.from_env().console_memory)
    return f"{max(least, images * each) // 1_000_000}MB"
