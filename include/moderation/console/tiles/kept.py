"""Images as a browser gets them: made small once, kept by content; where there is nothing to show, why."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moderation.reference.content import content_id
from moderation.sources.decoding.decoders import CannotShowError, Decoders
from moderation.storage import s3_objects
from moderation.storage.whole_file import write_whole

TILE, VIEW = 320, 1600
"""Longest side in pixels of an image in a grid, and of one that is looked at."""

NO_LONGER = "it is no longer in its bucket"
MAX_SOURCE_BYTES = 64_000_000
_PART = 200_000
"""Bytes read from S3 at once, while the decoder works on those before; for more, the system would be asked
for memory each time (`storage.memory`)."""

_SWEEP_EVERY = 500
_DIGEST = 16
"""Bytes of the digest that stands behind each kept image, where viewers of JPEGs look no further."""


@dataclass(frozen=True)
class Shown:
    """A JPEG, or why there is none.

    :param body: empty without one.
    :param why: a sentence for a person; empty with an image.
    :param lasting: whether the answer is the same tomorrow.
    """

    body: bytes = b""
    why: str = ""
    lasting: bool = True


class Tiles:
    """Images of published rows, read from S3 once and kept as JPEGs of two sizes.

    :param folder: where they are kept, private to the user.
    :param max_bytes: of all that is kept; the least lately seen give way.
    """

    def __init__(self, s3: Any, folder: Path, decoders: Decoders, *, max_bytes: int) -> None:
        self._s3 = s3
        self._folder = folder
        self._decoders = decoders
        self._max_bytes = max_bytes
        self._made = 0
        self._lock = threading.Lock()

    def kept(self, row: Mapping[str, Any], longest: int) -> Shown | None:
        """The image of a row of `images` as it was made before; None when it is to be made.

        :param longest: `TILE` or `VIEW`.
        """
        path = self._path(row, longest)
        if path is None or not path.is_file():
            return None
        try:
            stored = path.read_bytes()
            body = stored[:-_DIGEST]
            if stored[-_DIGEST:] != _digest(path, body):
                return None
            os.utime(path)
        except OSError:  # It gave way meanwhile.
            return None
        return Shown(body)

    def shown(self, row: Mapping[str, Any], longest: int) -> Shown:
        """The image of a row of `images`, made when it is not kept, for which all its bytes are read.

        :param longest: `TILE` or `VIEW`.
        :raises moderation.storage.s3_objects.S3Unavailable: S3 cannot be reached now.
        """
        if kept := self.kept(row, longest):
            return kept
        path = self._path(row, longest)
        try:
            body = self._decoders.shrink(self._parts(row), longest)
        except CannotShowError as error:
            return Shown(why=str(error), lasting=path is not None)
        if path is not None:
            self._keep(path, body)
        return Shown(body)

    def forget(self, row: Mapping[str, Any]) -> int:
        """Remove what is kept of the image of a row of `images`; returns how many files."""
        paths = [path for longest in (TILE, VIEW) if (path := self._path(row, longest)) and path.exists()]
        for path in paths:
            path.unlink(missing_ok=True)
        return len(paths)

    def original(self, row: Mapping[str, Any]) -> bytes:
        """The bytes that were moderated.

        :raises CannotShowError: they are nowhere to be had: gone, changed since, forbidden, too many.
        :raises moderation.storage.s3_objects.S3Unavailable: S3 cannot be reached now.
        """
        return b"".join(self._parts(row))

    def _parts(self, row: Mapping[str, Any]) -> Iterator[bytes]:
        """The same, as they arrive."""
        bucket, key = row["bucket"], row["key"]
        if not bucket or not key or not str(row["source_ref"]).startswith("s3://"):
            raise CannotShowError("the file was refused where it lay and never reached S3")
        if (row["size_bytes"] or 0) > MAX_SOURCE_BYTES:
            raise CannotShowError(f"the file has {row['size_bytes']:,} bytes, too many to show")
        try:
            with s3_objects.named_errors("read", bucket, key):
                answer = self._s3.get_object(Bucket=bucket, Key=key)
                with closing(answer["Body"]) as body:
                    if row["etag"] and s3_objects.etag_of(answer) != row["etag"]:
                        raise CannotShowError("it was replaced by another since it was moderated")
                    yield from _bounded(body.iter_chunks(_PART))
        except s3_objects.S3Unavailable:
            raise
        except s3_objects.S3Error as error:
            gone = NO_LONGER if error.is_missing else f"S3 refuses it ({error.code})"
            raise CannotShowError(gone) from error

    def _path(self, row: Mapping[str, Any], longest: int) -> Path | None:
        known = content_id(row["etag"], row["size_bytes"])
        if known is None and row["etag"]:
            known = f"{row['source_ref']}\0{row['etag']}\0{row['size_bytes']}"
        if known is None:
            return None
        name = hashlib.blake2b(known.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return self._folder / name[:2] / f"{name}-{longest}.jpg"

    def _keep(self, path: Path, body: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_whole(path, body + _digest(path, body), mode=0o600)
        except OSError:
            return  # A full disk makes the console slower, nothing else.
        with self._lock:
            self._made += 1
            due = self._made % _SWEEP_EVERY == 0
        if due:
            self.sweep()

    def sweep(self) -> None:
        """Remove the least lately seen above the bound."""
        found = []
        for file in self._folder.glob("??/*.jpg"):
            try:
                told = file.stat()
            except OSError:
                continue
            found.append((told.st_mtime, told.st_size, file))
        total = 0
        for _, size, file in sorted(found, reverse=True):
            total += size
            if total > self._max_bytes:
                file.unlink(missing_ok=True)


def _bounded(parts: Iterable[bytes]) -> Iterator[bytes]:
    left = MAX_SOURCE_BYTES
    for part in parts:
        left -= len(part)
        if left < 0:
            raise CannotShowError("the file has too many bytes to show")
        yield part


def _digest(path: Path, body: bytes) -> bytes:
    """Of an image under its name: one that is damaged, or lies under another's name, is made anew."""
    return hashlib.blake2b(body, digest_size=_DIGEST, key=path.name.encode()).digest()
