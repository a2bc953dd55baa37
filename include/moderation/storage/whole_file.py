"""Local files that are seen whole or not at all: written beside their place, then renamed into it.

So it is for readers at every moment, and after a kill or a power cut: what was written is on the disk before
it gets its name. A killed process leaves an unfinished file, whose name says so.
"""

from __future__ import annotations

import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_UNFINISHED = re.compile(r"\.[^/]+\.[0-9a-f]{32}\.tmp")


def is_unfinished(name: str) -> bool:
    """Whether a file of that name is on its way to another; an old one was left by a killed process."""
    return _UNFINISHED.fullmatch(name) is not None


@contextmanager
def whole_file(target: Path, *, mode: int | None = None) -> Iterator[Path]:
    """Write ``target`` by writing, in the block, the empty file that is given; an error leaves all as it was.

    :param target: its folder must be there; an older file of that name is replaced.
    :param mode: the file's permissions; the process's usual ones when None.
    :raises OSError: the folder cannot be written to, or the disk is full.
    """
    # Not the process's id: two of its threads may write the same file.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    unfinished.touch(exist_ok=False)
    try:
        yield unfinished
        if mode is not None:
            unfinished.chmod(mode)
        _flush(unfinished)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def write_whole(target: Path, content: bytes, *, mode: int | None = None) -> None:
    """Write a file of that content; see :func:`whole_file`."""
    with whole_file(target, mode=mode) as unfinished:
        unfinished.write_bytes(content)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
