"""Bytes that wait for their turn: in memory while they are few, else in a file that has no name.

What waits must not hold memory that others need to get ahead: a server in which a hundred large images wait
holds none of them, and one that is killed leaves no file behind.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import Any, Self

_IN_MEMORY = 64 * 1024


class Parcel:
    """Bytes written once, then read as often as wanted; used by one thread at a time.

    As a context manager it is closed at the end.

    :param folder: where the file goes when there are many bytes; it must exist.
    """

    def __init__(self, folder: Path) -> None:
        self._file = SpooledTemporaryFile(max_size=_IN_MEMORY, dir=str(folder))  # noqa: SIM115 - this object closes it
        self._digest = hashlib.sha256()
        self.size = 0

    @classmethod
    def of(cls, data: bytes, folder: Path) -> Self:
        """Pack bytes that are all there."""
        parcel = cls(folder)
        parcel.write(data)
        return parcel

    @property
    def sha256(self) -> str:
        """Hexadecimal digest of what was written."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append."""
        self._file.write(data)
        self._digest.update(data)
        self.size += len(data)

    def read(self, most: int = -1) -> bytes:
        """Return the first ``most`` bytes, all by default."""
        self._file.seek(0)
        return self._file.read(most)

    def close(self) -> None:
        """Let go of the bytes; may be called again."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the parcel."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()


def pack_blobs(parameters: dict[str, Any], folder: Path) -> None:
    """Put a parcel in the place of each blob, at any depth of structures."""
    for name, value in parameters.items():
        if isinstance(value, bytes):
            parameters[name] = Parcel.of(value, folder)
        elif isinstance(value, dict):
            pack_blobs(value, folder)


def close_all(parameters: dict[str, Any]) -> None:
    """Let go of what :func:`pack_blobs` packed."""
    for value in parameters.values():
        if isinstance(value, Parcel):
            value.close()
        elif isinstance(value, dict):
            close_all(value)
