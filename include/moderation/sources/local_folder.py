"""A folder on this machine as a source: what S3 lacks is uploaded first, as ``aws s3 sync`` would do.

A file is uploaded when the bucket has none of its key, one of another size, or an older one with other
content. Only files of this folder count: what else lies under the same prefix is left alone and not listed.
An image of a format that Rekognition refuses is uploaded where it can be transcoded from there.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Container, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes, unquote_to_bytes

import pyarrow as pa

from moderation.reference import error_codes, limits
from moderation.settings import Settings
from moderation.sources import image_header
from moderation.sources.base import SourceError
from moderation.sources.image_header import Rejection
from moderation.sources.inspection import Refusals, refused_by_s3, tried_again
from moderation.sources.listing import (
    BATCH_ROWS,
    FOLDER_MARKER,
    NOTHING,
    ListingBuilder,
    Tally,
    chunked,
    is_folder_marker,
)
from moderation.storage import s3_objects, tombstones
from moderation.storage.tombstones import Tombstones
from moderation.variables.machine import MachineSettings

_UPLOADS_AT_ONCE = 8
_FILES_A_ROUND = 1_000


@dataclass(frozen=True)
class _Stored:
    """What the bucket has under a key."""

    etag: str
    size: int
    last_modified: datetime


@dataclass(frozen=True)
class _File:
    """A file that was found, or a place that could not be looked into.

    :param pattern: of other kinds of files, which its name has.
    """

    path: str
    key: str = ""
    stored: _Stored | None = None
    rejection: Rejection | None = None
    pattern: str | None = None


@dataclass
class _Row:
    """Arguments of :meth:`ListingBuilder.add` for one file, and whether it was uploaded or S3 refused it."""

    values: dict[str, Any]
    uploaded: bool = False
    refused: s3_objects.S3Error | None = None


@dataclass(frozen=True)
class _NoImage:
    """Arguments of :meth:`Tally.leave_out` for one file."""

    source_ref: str
    size: int | None
    rule: str
    content: str | None


@dataclass
class UploadCount:
    """What an upload did.

    :ivar uploaded: files sent, :ivar uploaded_bytes: their size together.
    """

    uploaded: int = 0
    uploaded_bytes: int = 0


@dataclass(frozen=True)
class LocalFolder:
    """All pictures in a folder, at any depth.

    :param folder: path of the folder; ``~`` is the home folder.
    :param only: the files that count, as rows have them under ``origin``; None for all. A folder that is not
        there any more has none of them.
    """

    folder: str
    checks_headers: bool = True
    retry_refused: bool = False
    tells_changes: bool = False
    count: UploadCount = field(default_factory=UploadCount, compare=False)
    only: Container[str] | None = None

    @classmethod
    def of_uri(cls, uri: str, *, only: Container[str]) -> LocalFolder:
        """The folder that `uri` named, and of its files some."""
        return cls(os.fsdecode(unquote_to_bytes(uri.removeprefix("file://"))), only=only)

    @property
    def path(self) -> Path:
        """The folder, absolute and without symbolic links."""
        return Path(self.folder).expanduser().resolve()

    @property
    def uri(self) -> str:
        """``file:///…`` of the folder."""
        return _file_uri(str(self.path))

    def target(self, settings: Settings) -> str:
        """``s3://…/uploads/<folder>-<hash of its path>``: where this folder's files go, and no other's."""
        path = self.path
        digest = hashlib.sha256(os.fsencode(path)).hexdigest()[:8]
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.name).strip("-.")[:64] or "folder"
        return s3_objects.join_uri(settings.input_uri, "uploads", f"{name}-{digest}")

    def batches(
        self, settings: Settings, s3: Any, tally: Tally, *, dry_run: bool
    ) -> Iterator[pa.RecordBatch]:
        """Upload what is missing and give a row a file; with ``dry_run`` nothing is sent.

        :raises SourceError: no such folder; s3.S3Error: the bucket refuses listing or all that is uploaded.
        """
        root = self.path
        if self.only is not None and not root.is_dir():
            return
        if not root.is_dir():
            raise SourceError(f"{root} is no folder; name an existing folder or an s3:// prefix")
        bucket, prefix = s3_objects.split_uri(self.target(settings))
        found = _Walk(s3, bucket, tally, self.only).files(str(root), prefix)
        builder, gone, refusals = ListingBuilder(), tombstones.load(s3, settings), Refusals(of_any_kind=True)
        transcode = MachineSettings.from_env().transcode
        bring = partial(_bring, s3, bucket, dry_run=dry_run, gone=gone, transcode=transcode)
        with ThreadPoolExecutor(_UPLOADS_AT_ONCE, thread_name_prefix="upload") as pool:
            for files in chunked(found, _FILES_A_ROUND):
                for row in pool.map(bring, files):
                    if isinstance(row, _NoImage):
                        tally.leave_out(row.source_ref, size=row.size, rule=row.rule, content=row.content)
                        continue
                    builder.add(**row.values)
                    if row.refused or row.values["bucket"]:
                        refusals.note(row.refused)
                    if row.uploaded:
                        self.count.uploaded += 1
                        self.count.uploaded_bytes += row.values["size"]
                if len(builder) >= BATCH_ROWS:
                    yield builder.take()
        refusals.conclude()
        if len(builder):
            yield builder.take()


class _Walk:
    """Finds the files, each beside what S3 has there, folder by folder: memory holds one folder at a time."""

    def __init__(self, s3: Any, bucket: str, tally: Tally, only: Container[str] | None) -> None:
        self._s3, self._bucket, self._tally, self._only = s3, bucket, tally, only
        self._seen: set[tuple[int, int]] = set()
        self._escaped: set[str] = set()

    def files(self, root: str, prefix: str) -> Iterator[_File]:
        """Files of ``root`` and below, in order of their names' bytes."""
        pending = [(root, prefix)]
        while pending:
            folder, prefix = pending.pop()
            try:
                status = os.stat(folder)
                if (status.st_dev, status.st_ino) in self._seen:
                    continue  # reached before through another name: a loop or an alias of symbolic links
                self._seen.add((status.st_dev, status.st_ino))
                with os.scandir(folder) as scan:
                    entries = sorted(scan, key=lambda entry: os.fsencode(entry.name))
            except OSError as error:
                if not self._counts(folder):
                    continue
                self._tally.listed += 1
                yield _File(folder, rejection=_unreadable(error))
                continue
            files = [entry for entry in entries if not _is_dir(entry) and self._counts(entry.path)]
            folders = [entry for entry in entries if _is_dir(entry)]
            pending += [(entry.path, f"{prefix}/{_key_part(entry.name)}") for entry in reversed(folders)]
            yield from self._files_here(files, prefix)

    def _counts(self, path: str) -> bool:
        return self._only is None or path_text(path) in self._only

    def _files_here(self, entries: list[os.DirEntry[str]], prefix: str) -> Iterator[_File]:
        stored = self._stored(prefix) if entries else {}
        for entry in entries:
            self._tally.listed += 1
            yield replace(self._file(entry, prefix, stored), pattern=self._tally.names.matching(entry.name))

    def _file(self, entry: os.DirEntry[str], prefix: str, stored: dict[str, _Stored]) -> _File:
        key = f"{prefix}/{_key_part(entry.name)}"
        try:
            length = len(key.encode("utf-8"))
        except UnicodeEncodeError:
            return _File(
                entry.path,
                rejection=Rejection(error_codes.INVALID_KEY, "The file's name is not valid UTF-8."),
            )
        if length > limits.KEY_MAX_BYTES:
            message = f"The key would have {length:,} bytes; S3 takes at most {limits.KEY_MAX_BYTES:,}."
            return _File(entry.path, rejection=Rejection(error_codes.KEY_TOO_LONG, message))
        if "%5C" in key:
            if key in self._escaped:
                message = "Another file gets the same key, since a backslash becomes %5C; rename one."
                return _File(entry.path, rejection=Rejection(error_codes.INVALID_KEY, message))
            self._escaped.add(key)
        return _File(entry.path, key, stored.get(key))

    def _stored(self, prefix: str) -> dict[str, _Stored]:
        try:
            prefix.encode("utf-8")
        except UnicodeEncodeError:
            return {}
        if len(prefix.encode("utf-8")) >= limits.KEY_MAX_BYTES:
            return {}
        pages = s3_objects.list_pages(self._s3, self._bucket, f"{prefix}/", delimiter="/")
        return {
            entry["Key"]: _Stored(s3_objects.etag_of(entry), entry["Size"], entry["LastModified"])
            for page in pages
            for entry in page.get("Contents", [])
        }


def _is_dir(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _key_part(name: str) -> str:
    """A name as part of a key. Some S3 servers turn a backslash into a slash, AWS advises against it."""
    return name.replace("\\", "%5C")


def _bring(
    s3: Any, bucket: str, file: _File, *, dry_run: bool, gone: Tombstones, transcode: bool
) -> _Row | _NoImage:
    """See to it that S3 has the file, unless it was erased on request, and give its row."""
    if file.pattern and (other := _unless_image(file.path, file.pattern)):
        return other
    rejection, status, data, other_format = file.rejection, None, None, None
    try:
        if rejection is None:
            status = os.stat(file.path)
            if is_folder_marker(file.path, status.st_size):  # copied here from a bucket
                return _NoImage(_file_uri(file.path), 0, FOLDER_MARKER, NOTHING)
            rejection = _refusal(file.path, status)
        if transcode and rejection and image_header.transcoded_kind(*rejection):
            rejection, other_format = None, rejection
        if rejection is None and not (file.stored and _is_current(file.stored, status)):
            data = Path(file.path).read_bytes()
    except OSError as error:
        rejection = _unreadable(error)
    if rejection is not None:
        return _rejected(file, rejection, status)
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest() if data is not None else None
    if file.stored and (data is None or file.stored.etag == etag):
        row = _accepted(bucket, file, file.stored)
    else:
        was_erased = gone.has(f"s3://{bucket}/{file.key}", etag, len(data or b""), path_text(file.path))
        row = _upload(s3, bucket, file, data or b"", dry_run=dry_run or was_erased)
    if other_format:
        row.values["rejection"] = row.values.get("rejection") or other_format
    return row


def _unless_image(path: str, pattern: str) -> _NoImage | None:
    """What to leave out: a file that is named like another kind, unless its first bytes are an image's."""
    size, content = None, None
    try:
        status = os.stat(path)
        size = status.st_size
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as opened:
                head = opened.read(image_header.SNIFF_BYTES)
            if image_header.is_image(head):
                return None
            content = image_header.content(head) if head else NOTHING
    except OSError:
        pass  # of what cannot be read the name is all there is
    return _NoImage(_file_uri(path), size, pattern, content)


def _refusal(path: str, status: os.stat_result) -> Rejection | None:
    if not stat.S_ISREG(status.st_mode):
        return Rejection(
            error_codes.UNREADABLE_FILE, "Not a regular file."
        )  # opening a pipe would wait for ever
    if refused := image_header.check_size(status.st_size):
        return refused
    with open(path, "rb") as opened:
        # The check reads on from where it was, so the offset needs no seek.
        return image_header.check_image(status.st_size, lambda _offset, length: opened.read(length))


def _upload(s3: Any, bucket: str, file: _File, data: bytes, *, dry_run: bool) -> _Row:
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest()
    try:
        if not dry_run:
            uri, kind = f"s3://{bucket}/{file.key}", image_header.media_type(data)
            put = partial(s3_objects.put, s3, uri, data, content_type=kind)
            etag = tried_again(put, s3, bucket) or etag
    except s3_objects.S3Error as error:
        if error.code == "KeyTooLongError":
            return _rejected(file, Rejection(error_codes.KEY_TOO_LONG, error.cause), os.stat(file.path))
        if not error.key:  # of no object: S3 is away
            raise
        status = os.stat(file.path) if os.path.exists(file.path) else None
        return replace(_rejected(file, refused_by_s3(error), status), refused=error)
    row = _accepted(bucket, file, _Stored(etag, len(data), datetime.now(UTC)))
    row.uploaded = not dry_run
    return row


def _is_current(stored: _Stored, status: os.stat_result | None) -> bool:
    if status is None or stored.size != status.st_size:
        return False
    return stored.last_modified.timestamp() > status.st_mtime


def _accepted(bucket: str, file: _File, stored: _Stored) -> _Row:
    return _Row(
        {
            "source_ref": f"s3://{bucket}/{file.key}",
            "bucket": bucket,
            "key": file.key,
            "etag": stored.etag,
            "size": stored.size,
            "last_modified": stored.last_modified,
            "origin": path_text(file.path),
        }
    )


def _rejected(file: _File, rejection: Rejection, status: os.stat_result | None = None) -> _Row:
    """A row of a file that stays here. Its etag is its size and time, so that the next run knows it again."""
    return _Row(
        {
            "source_ref": _file_uri(file.path),
            "bucket": None,
            "key": None,
            "etag": f"local-{status.st_size}-{status.st_mtime_ns}" if status else "local",
            "size": status.st_size if status else None,
            "last_modified": datetime.fromtimestamp(status.st_mtime, UTC) if status else None,
            "rejection": rejection,
            "origin": path_text(file.path),
        }
    )


def _file_uri(path: str) -> str:
    return "file://" + quote_from_bytes(os.fsencode(path))


def as_known(source: str) -> str:
    """A source as people know it: of a local folder its path, others as they are."""
    is_local = source.startswith("file://")
    return path_text(unquote_to_bytes(source.removeprefix("file://"))) if is_local else source


def path_text(path: str | bytes) -> str:
    """The path as text; bytes that are no UTF-8 as escapes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _unreadable(error: OSError) -> Rejection:
    return Rejection(error_codes.UNREADABLE_FILE, f"The file cannot be read: {error.strerror or error}.")
