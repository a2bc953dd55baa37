"""What the networks said of each training image, in a file that survives a kill.

A record is a CRC-32, two lengths, a JSON head and features as float16. A record that is damaged or cut off
ends the file: what stood there and behind is looked at again.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
from numpy.typing import NDArray

_HEAD = struct.Struct("<III")
_MOST_HEAD = 1 << 16
_MOST_BODY = 1 << 24


@dataclass(frozen=True)
class Seen:
    """What became of one image.

    :param source_ref: the image.
    :param scores: the rules' scores by label; None when the image was refused.
    :param features: views × features, float16; the first is the picture as it is.
    :param problem: code and message of the refusal.
    """

    source_ref: str
    scores: Mapping[str, float] | None = None
    features: NDArray[np.float16] | None = None
    problem: tuple[str, str] | None = None


class ExampleFile:
    """Records of one training; used by one thread.

    :param path: the file; made when missing.
    :param made_with: model version and views; a file made otherwise is begun anew.
    """

    def __init__(self, path: Path, made_with: Mapping[str, Any]) -> None:
        self._path = path
        self._made_with = orjson.dumps(made_with, option=orjson.OPT_SORT_KEYS)
        self.refs: set[str] = set()
        end = self._check()
        self._file: IO[bytes] = path.open("ab")
        self._file.truncate(end)
        if end == 0:
            self._write(self._made_with, b"")
            self.flush()

    def add(self, seen: Seen) -> None:
        """Append a record."""
        features = np.empty((0, 0), np.float16) if seen.features is None else seen.features
        head = {
            "ref": seen.source_ref,
            "scores": dict(seen.scores) if seen.scores is not None else None,
            "shape": list(features.shape),
            "problem": seen.problem,
        }
        self._write(orjson.dumps(head), features.astype(np.float16).tobytes())
        self.refs.add(seen.source_ref)

    def flush(self) -> None:
        """Give what was added to the system, which keeps it when the process is killed."""
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()

    def read(self) -> Iterator[Seen]:
        """Yield all records, in the order in which they came."""
        self.flush()
        for number, (head, body, _) in enumerate(_records(self._path)):
            if number:
                yield _seen(head, body)

    def _write(self, head: bytes, body: bytes) -> None:
        lengths = struct.pack("<II", len(head), len(body))
        checksum = zlib.crc32(body, zlib.crc32(head, zlib.crc32(lengths)))
        self._file.write(struct.pack("<I", checksum) + lengths + head + body)

    def _check(self) -> int:
        """Return where the good part of the file ends."""
        end = 0
        if self._path.exists():
            for number, (head, body, offset) in enumerate(_records(self._path)):
                if number == 0 and head != self._made_with:
                    return 0
                if number:
                    self.refs.add(_seen(head, body).source_ref)
                end = offset
        return end


def _records(path: Path) -> Iterator[tuple[bytes, bytes, int]]:
    with path.open("rb") as file:
        while len(start := file.read(_HEAD.size)) == _HEAD.size:
            checksum, head_length, body_length = _HEAD.unpack(start)
            if head_length > _MOST_HEAD or body_length > _MOST_BODY:
                return
            head, body = file.read(head_length), file.read(body_length)
            if zlib.crc32(body, zlib.crc32(head, zlib.crc32(start[4:]))) != checksum:
                return
            yield head, body, file.tell()


def _seen(head: bytes, body: bytes) -> Seen:
    document = orjson.loads(head)
    if document["problem"]:
        code, message = document["problem"]
        return Seen(document["ref"], problem=(code, message))
    features = np.frombuffer(body, np.float16).reshape(document["shape"])
    return Seen(document["ref"], document["scores"], features)
