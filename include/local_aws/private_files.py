"""Files that only their owner can read, replaced whole or not at all."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

UMASK = 0o077
"""What the local services must not leave to anybody else, in the form of ``os.umask``."""


def folder(path: Path) -> Path:
    """Make ``path`` and what is missing above it; close it to everybody but its owner, also if it was there.

    :raises OSError: it cannot be made, or belongs to somebody else.
    """
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    if path.stat().st_mode & UMASK:
        path.chmod(0o700)
    return path


def opener(path: str, flags: int) -> int:
    """``opener`` for :func:`open`: a file that it makes can be read by its owner only."""
    return os.open(path, flags, 0o600)


def write(path: Path, content: str | bytes) -> Path:
    """Replace ``path`` by a file that only its owner can read; nothing is left of an attempt that failed.

    :raises OSError: it cannot be written, for example because the disk is full; the old file is unchanged.
    """
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    staged.unlink(missing_ok=True)
    try:
        with open(os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            staged.unlink(missing_ok=True)
        raise
    return path
