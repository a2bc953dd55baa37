"""What was seen of images, kept by content: a training does not look again at what a job has answered.

A file an image: what the rules say, the features of the image and of changed copies of it, and behind them a
digest of both, of the content's name and of what the networks and limits are. A file that is not whole, or
was made otherwise, is none: the image is looked at again. All of them can go at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import struct
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from local_aws import private_files
from local_aws.inference.adapters.views import CHANGES
from local_aws.rekognition.limits import Limits

_LENGTHS = struct.Struct("<II")
_DIGEST: Final = 16
_DISK_BLOCK: Final = 4096
_AFTER_SWEEP: Final = 0.9
"""The share of the bound that a sweep leaves, so that not every further image makes one."""


@dataclass(frozen=True)
class Look:
    """What the networks make of one image that can be read.

    :param scores: the rules' scores by label, 0..1.
    :param features: views × features, float16; the first view is the image as it is.
    """

    scores: Mapping[str, float]
    features: NDArray[np.float16]

    @property
    def copies(self) -> int:
        """How many changed copies were looked at, too."""
        return len(self.features) - 1

    def first(self, copies: int) -> Look:
        """The same with so many copies, of which there must be enough."""
        return Look(self.scores, self.features[: 1 + copies])


class KeptLooks:
    """A bounded number of looks on disk, private to the user; safe to use from many threads.

    :param folder: for these alone; what was made otherwise is removed from it.
    :param made_with: everything on which a look depends beside the image's bytes.
    :param max_bytes: of all that is kept, in blocks of a disk; the least lately used give way.
    """

    def __init__(self, folder: Path, made_with: Mapping[str, Any], *, max_bytes: int) -> None:
        made = orjson.dumps(made_with, option=orjson.OPT_SORT_KEYS)
        self._key = hashlib.sha256(made).digest()
        self._folder = folder / self._key.hex()[:16]
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._bytes = 0
        if folder.exists():
            for other in folder.iterdir():
                if other != self._folder:
                    shutil.rmtree(other, ignore_errors=True)
            for unfinished in self._folder.glob("??/*.tmp"):
                unfinished.unlink(missing_ok=True)
            self.sweep()

    def find(self, content: str) -> Look | None:
        """What is kept of an image.

        :param content: hexadecimal SHA-256 of its bytes.
        """
        path = self._path(content)
        try:
            stored = path.read_bytes()
        except OSError:
            return None
        look = self._read(content, stored)
        with contextlib.suppress(OSError):
            if look is None:
                path.unlink(missing_ok=True)
            else:
                os.utime(path)
        return look

    def keep(self, content: str, look: Look) -> None:
        """Keep a look, unless one with as many copies is there; on a full disk nothing is kept."""
        body = orjson.dumps(dict(look.scores)), look.features.astype(np.float16).tobytes()
        stored = _LENGTHS.pack(len(body[0]), len(look.features)) + b"".join(body)
        path = self._path(content)
        with contextlib.suppress(OSError):
            if path.exists() and path.stat().st_size >= len(stored) + _DIGEST:
                os.utime(path)
                return
            private_files.folder(path.parent.parent.parent)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._write(path, stored + self._digest(content, stored))

    def sweep(self) -> None:
        """Remove the least lately used above the bound."""
        with self._lock:
            total, most = 0, self._max_bytes * _AFTER_SWEEP
            for _, size, path in sorted(self._files(), reverse=True):
                total += size
                if total > most:
                    path.unlink(missing_ok=True)
                    total -= size
            self._bytes = total

    def _write(self, path: Path, stored: bytes) -> None:
        # Never flushed to the disk: what a power cut leaves half written has no digest and is made again.
        unfinished = path.with_name(f"{uuid.uuid4().hex}.tmp")
        with open(unfinished, "xb", opener=private_files.opener) as file:
            file.write(stored)
        unfinished.replace(path)
        with self._lock:
            self._bytes += _on_disk(len(stored))
            due = self._bytes > self._max_bytes
        if due:
            self.sweep()

    def _read(self, content: str, stored: bytes) -> Look | None:
        body, digest = stored[:-_DIGEST], stored[-_DIGEST:]
        if len(body) < _LENGTHS.size or digest != self._digest(content, body):
            return None
        head, views = _LENGTHS.unpack_from(body)
        features = np.frombuffer(body, np.float16, offset=_LENGTHS.size + head)
        scores = orjson.loads(body[_LENGTHS.size : _LENGTHS.size + head])
        return Look(scores, features.reshape(views, -1))

    def _digest(self, content: str, body: bytes) -> bytes:
        name = hashlib.blake2b(content.encode(), digest_size=32, key=self._key).digest()
        return hashlib.blake2b(body, digest_size=_DIGEST, key=name).digest()

    def _path(self, content: str) -> Path:
        return self._folder / content[:2] / content

    def _files(self) -> Iterator[tuple[float, int, Path]]:
        for path in self._folder.glob("??/*"):
            if not path.suffix:
                with contextlib.suppress(OSError):
                    told = path.stat()
                    yield told.st_mtime, _on_disk(told.st_size), path


def kept_looks(folder: Path, model_version: str, limits: Limits, *, max_bytes: int) -> KeptLooks | None:
    """What a server keeps of looks by its model, at images within its limits; None where it may hold nothing.

    :param max_bytes: see :class:`KeptLooks`.
    """
    if max_bytes == 0:
        shutil.rmtree(folder, ignore_errors=True)
        return None
    made_with = {
        "model": model_version,
        "copies": [change.__name__ for change in CHANGES],
        "limits": [limits.image_bytes, limits.min_side, limits.max_side],
    }
    return KeptLooks(folder, made_with, max_bytes=max_bytes)


def _on_disk(size: int) -> int:
    return -(-size // _DISK_BLOCK) * _DISK_BLOCK
