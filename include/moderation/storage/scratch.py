"""Local folders for files on their way, and the end of those that killed processes left.

Each folder is locked by the process that works in it. The kernel drops a lock with its process, however
that ends, so a folder that can be locked belongs to nobody, and whoever makes the next one removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from moderation.errors import TransientError

_OURS = re.compile(
    r"moderation-(\d{8}T\d{6}Z-[0-9a-f]{12}|loads|compact|plan|query|standing|erase)-[a-z0-9_]{8}"
)
"""What :func:`folder` makes, in a place that others may use, too."""

_TRIES = 10


class ScratchError(TransientError, OSError):
    """Others took each folder as soon as it was made."""


@contextmanager
def folder(parent: Path | None, name: str) -> Iterator[Path]:
    """An empty folder ``<parent>/moderation-<name>-…`` during the block.

    Those of dead processes beside it are removed.

    :param parent: made when it is missing; the system's folder for temporary files when None.
    :param name: a load id, ``loads``, ``compact``, ``plan``, ``query``, ``standing`` or ``erase``.
    :raises OSError: the disk is full or broken.
    """
    if parent is None:
        parent = Path(tempfile.gettempdir())
    parent.mkdir(parents=True, exist_ok=True)
    remove_dead(parent)
    path, lock = _make(parent, name)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
        os.close(lock)


def remove_dead(parent: Path) -> list[Path]:
    """Remove the folders whose process is dead; returns them."""
    dead = []
    for path in sorted(parent.iterdir()):
        if _OURS.fullmatch(path.name) and (lock := _lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)
            os.close(lock)
            dead.append(path)
    return dead


def _make(parent: Path, name: str) -> tuple[Path, int]:
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=f"moderation-{name}-", dir=parent))
        lock = _lock(path)
        # Another process may have taken the folder for a dead one's before it was locked.
        if lock is not None and path.exists():
            return path, lock
        if lock is not None:
            os.close(lock)
    raise ScratchError(f"{parent}: no folder could be made and locked in {_TRIES} tries; run again")


def _lock(path: Path) -> int | None:
    """A descriptor that holds the folder's lock; None when it is another's, or gone."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            return None
        return descriptor
    return None
