"""What is already answered, and so paid for: a local spool file and parts in S3.

Both hold *records*, one a line: eight hex digits of the CRC-32 of what follows the space, then JSON. A CRC-32
detects every damage of up to 32 neighbouring bits, so every changed byte. The spool is appended to with one
write a record, which a kill -9 cannot undo; only its last line can be torn, and is then asked again. Parts
are written whole by S3 and so must be whole.
"""

from __future__ import annotations

import fcntl
import os
import uuid
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

from moderation.analyse.detect.errors import CheckpointDamaged, OwnedElsewhere
from moderation.storage import s3_objects

_PART_RECORDS = 1000


def encode(value: Mapping[str, Any]) -> bytes:
    """One record, with its checksum and line end."""
    body = orjson.dumps(value)
    return b"%08x %s\n" % (zlib.crc32(body), body)


def decode(record: bytes, where: str) -> dict[str, Any]:
    """The value of one record.

    :param where: file and line, for the error.
    :raises CheckpointDamaged: any byte of it differs from what was written.
    """
    body = record[9:-1]
    if record[-1:] != b"\n" or record[:9] != b"%08x " % zlib.crc32(body):
        raise CheckpointDamaged(_damage(where, "its checksum does not match"))
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise CheckpointDamaged(_damage(where, "it is no object"))
    return value


def _damage(where: str, what: str) -> str:
    remedy = "Delete that file and run again: what only it knew is asked, and paid for, once more"
    return f"{where}: {what}. {remedy}"


class Spool:
    """Answers and errors by line number, in an append-only local file that one process at a time may open.

    :param path: the file; its folder is made, readable to its owner only.
    :param job_id: stands in the file's first record; another run's file is refused.
    :param images: source-ref by line number of all images of the manifest.
    """

    def __init__(self, path: Path, job_id: str, images: Mapping[int, str]) -> None:
        self.path = path
        self._job_id = job_id
        self.images = images
        self._place: dict[int, tuple[int, int]] = {}
        self._unsent: dict[int, None] = {}
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._lock()
            self._end = self._scan()
        except BaseException:
            os.close(self._fd)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def __contains__(self, number: int) -> bool:
        return number in self._place

    def __len__(self) -> int:
        return len(self._place)

    def add(self, number: int, **outcome: Any) -> None:
        """Keep what became of a line: ``answer={…}`` or ``error={"code": …, "message": …}``.

        :raises OSError: the disk is full or broken; the file is left as it was before.
        """
        self._keep(number, encode({"line": number, "source-ref": self.images[number], **outcome}))
        self._unsent[number] = None

    def read(self, number: int) -> dict[str, Any] | None:
        """The record of a line, or None."""
        place = self._place.get(number)
        if place is None:
            return None
        return decode(os.pread(self._fd, place[1], place[0]), f"{self.path}, byte {place[0]}")

    def merge(self, number: int, record: bytes) -> None:
        """Take over a record from a part."""
        if number in self._place and self._raw(number) == record:
            self._unsent.pop(number, None)
        elif number not in self._place or _rank(record) < _rank(self._raw(number)):
            self._keep(number, record)
            self._unsent.pop(number, None)

    def unsent(self) -> list[int]:
        """Lines whose record is in no part yet."""
        return list(self._unsent)

    def send(self, s3: Any, folder: str, numbers: list[int]) -> None:
        """Copy the records of these lines to S3, in new parts.

        :raises S3Error: they could not be written; they stay unsent.
        """
        for start in range(0, len(numbers), _PART_RECORDS):
            some = numbers[start : start + _PART_RECORDS]
            store_part(s3, folder, self._job_id, [self._raw(number) for number in some])
            for number in some:
                self._unsent.pop(number, None)

    def delete(self) -> None:
        """Remove the file; the spool stays readable until closed."""
        self.path.unlink(missing_ok=True)

    def _raw(self, number: int) -> bytes:
        offset, length = self._place[number]
        return os.pread(self._fd, length, offset)

    def _keep(self, number: int, record: bytes) -> None:
        self._place[number] = (self._append(record), len(record))

    def _append(self, record: bytes) -> int:
        offset = self._end
        try:
            written = os.write(self._fd, record)
            if written < len(record):
                raise OSError(f"{self.path}: only {written} of {len(record)} bytes could be written")
        except OSError:
            os.ftruncate(self._fd, offset)
            raise
        self._end += len(record)
        return offset

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OwnedElsewhere(
                f"another process of this machine works on the same manifest ({self.path} is locked); "
                "wait for it, or end it"
            ) from None

    def _scan(self) -> int:
        """Index the file, cut off a torn end, return its length."""
        offset = 0
        with open(self._fd, "rb", closefd=False) as file:
            file.seek(0)
            for number, raw in enumerate(file, 1):
                if not raw.endswith(b"\n"):
                    os.ftruncate(self._fd, offset)
                    break
                where = f"{self.path}, line {number}"
                value = decode(raw, where)
                if number == 1:
                    _check_header(value, self._job_id, where)
                else:
                    line = _check(value, self.images, where)
                    if line not in self._place or _rank(raw) < _rank(self._raw(line)):
                        self._place[line] = (offset, len(raw))
                    self._unsent[line] = None
                offset += len(raw)
        self._end = offset
        if offset == 0:
            self._append(encode({"job": self._job_id}))
        return self._end


def store_part(s3: Any, folder: str, job_id: str, records: list[bytes]) -> None:
    """Write records as one new part."""
    header = encode({"job": job_id, "records": len(records)})
    uri = s3_objects.join_uri(folder, f"part-{uuid.uuid4().hex}.ckpt")
    s3_objects.put_if_absent(s3, uri, header + b"".join(records))


def load_parts(s3: Any, folder: str, job_id: str, images: Mapping[int, str]) -> Iterator[tuple[int, bytes]]:
    """Line number and record of everything in the parts; one part at a time is held.

    :raises CheckpointDamaged: a part is not what was written.
    """
    for entry in s3_objects.list_objects(s3, folder.rstrip("/") + "/part-"):
        bucket, _ = s3_objects.split_uri(folder)
        uri = s3_objects.Location(bucket, entry["Key"]).uri
        yield from _read_part(s3_objects.read(s3, uri).body, uri, job_id, images)


def delete_parts(s3: Any, folder: str) -> None:
    """Remove all parts."""
    bucket, _ = s3_objects.split_uri(folder)
    for entry in s3_objects.list_objects(s3, folder.rstrip("/") + "/part-"):
        s3_objects.delete(s3, s3_objects.Location(bucket, entry["Key"]).uri)


def _read_part(body: bytes, uri: str, job_id: str, images: Mapping[int, str]) -> Iterator[tuple[int, bytes]]:
    records = _split(body)
    if not records:
        raise CheckpointDamaged(_damage(uri, "it is empty"))
    header = decode(records[0], f"{uri}, line 1")
    _check_header(header, job_id, f"{uri}, line 1")
    if header.get("records") != len(records) - 1:
        raise CheckpointDamaged(
            _damage(uri, f"it has {len(records) - 1} records, not {header.get('records')}")
        )
    for number, record in enumerate(records[1:], 2):
        where = f"{uri}, line {number}"
        yield _check(decode(record, where), images, where), record


def _split(body: bytes) -> list[bytes]:
    r"""Lines with their ``\n``, cut at ``\n`` alone."""
    *whole, rest = body.split(b"\n")
    return [line + b"\n" for line in whole] + ([rest] if rest else [])


def _check_header(value: Mapping[str, Any], job_id: str, where: str) -> None:
    if value.get("job") != job_id:
        raise CheckpointDamaged(_damage(where, f"it belongs to {value.get('job')!r}, not to {job_id}"))


def _check(value: Mapping[str, Any], images: Mapping[int, str], where: str) -> int:
    line = value.get("line")
    if not isinstance(line, int) or images.get(line) != value.get("source-ref") or line not in images:
        raise CheckpointDamaged(_damage(where, f"line {line!r} of the manifest names another image"))
    if isinstance(value.get("answer"), dict) == isinstance(value.get("error"), dict):
        raise CheckpointDamaged(_damage(where, "it holds neither an answer nor an error"))
    return line


def _rank(record: bytes) -> tuple[bool, bytes]:
    """Order of two records of one line, the same on every machine: answers first, then by bytes."""
    return "error" in orjson.loads(record[9:]), record
