"""Files under a URI, in S3 or in a local folder, with the same few operations and the same promises.

A file is seen whole or not at all: S3 shows an object after its upload, a local file is renamed into place.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from moderation.settings import Settings
from moderation.storage import s3_objects, scratch, whole_file


def is_s3(uri: str) -> bool:
    """Whether the URI names S3; everything else is a local path or a ``file://`` URI."""
    return uri.startswith("s3://")


def local_path(uri: str) -> Path:
    """The path of a local URI, absolute."""
    return Path(unquote(urlsplit(uri).path) if uri.startswith("file://") else uri).absolute()


def absolute(uri: str) -> str:
    """The URI as catalogs store it: S3 unchanged, local ones with ``file://`` and an absolute path."""
    return uri if is_s3(uri) else f"file://{local_path(uri)}"


def is_unfinished(uri: str) -> bool:
    """Whether it is a local file on its way to its name; an old one was left by a killed process."""
    return not is_s3(uri) and whole_file.is_unfinished(uri.rpartition("/")[2])


@contextmanager
def spool(settings: Settings, name: str) -> Iterator[Path]:
    """An empty local folder for files on their way: on the tables' own disk when they are local."""
    parent = None
    if not is_s3(settings.tables_uri):
        parent = local_path(settings.tables_uri) / "_spool"
    with scratch.folder(parent, name) as path:
        yield path


class Storage:
    """Reads and writes files wherever they are; keeps one S3 client, opened when first needed.

    Use as a context manager. Failures are `s3.S3Error` or `OSError`, both of which name the file.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Any = None

    def __enter__(self) -> Storage:
        return self

    def __exit__(self, *_: object) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def s3_client(self) -> Any:
        """The boto3 client for S3."""
        if self._client is None:
            self._client = s3_objects.client(self._settings)
        return self._client

    def read(self, uri: str) -> bytes:
        """The whole file."""
        return s3_objects.read(self.s3_client, uri).body if is_s3(uri) else local_path(uri).read_bytes()

    @contextmanager
    def open(self, uri: str) -> Iterator[_Reader]:
        """The file as a stream with ``read(size)``."""
        if is_s3(uri):
            bucket, key = s3_objects.split_uri(uri)
            with s3_objects.named_errors("read", bucket, key):
                answer = self.s3_client.get_object(Bucket=bucket, Key=key)
                with closing(answer["Body"]) as body:
                    yield _Reader(body, s3_objects.etag_of(answer))
        else:
            with local_path(uri).open("rb") as file:
                yield _Reader(file)

    def copy_to(self, uri: str, target: Path) -> None:
        """Copy the file to the local disk."""
        with self.open(uri) as source, target.open("wb") as file:
            while chunk := source.read(1 << 20):
                file.write(chunk)

    def put_file(self, source: Path, uri: str) -> None:
        """Copy a local file to the URI, over what is there."""
        if is_s3(uri):
            bucket, key = s3_objects.split_uri(uri)
            with s3_objects.named_errors("write", bucket, key), source.open("rb") as file:
                self.s3_client.upload_fileobj(file, bucket, key)
            return
        target = local_path(uri)
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file.whole_file(target) as unfinished:
            shutil.copyfile(source, unfinished)

    def list(self, folder_uri: str) -> list[str]:
        """URIs of all files below a folder, sorted; none when there is no such folder."""
        if is_s3(folder_uri):
            bucket = s3_objects.split_uri(folder_uri).bucket
            entries = s3_objects.list_objects(self.s3_client, folder_uri.rstrip("/") + "/")
            return sorted(s3_objects.join_uri(f"s3://{bucket}", entry["Key"]) for entry in entries)
        root = local_path(folder_uri)
        return sorted(f"file://{path}" for path in root.rglob("*") if path.is_file())

    def list_times(self, folder_uri: str) -> dict[str, datetime]:
        """When each file below a folder was written last, by its URI."""
        if is_s3(folder_uri):
            bucket = s3_objects.split_uri(folder_uri).bucket
            entries = s3_objects.list_objects(self.s3_client, folder_uri.rstrip("/") + "/")
            return {
                s3_objects.join_uri(f"s3://{bucket}", entry["Key"]): entry["LastModified"]
                for entry in entries
            }
        times = {}
        for path in local_path(folder_uri).rglob("*"):
            with suppress(FileNotFoundError):  # it was deleted while we looked
                if path.is_file():
                    times[f"file://{path}"] = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        return times

    def written_at(self, uri: str) -> datetime | None:
        """When the file was written last; None when there is none."""
        if is_s3(uri):
            found = s3_objects.look_up(self.s3_client, uri)
            return found["LastModified"] if found else None
        path = local_path(uri)
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.is_file() else None

    def delete(self, uri: str) -> None:
        """Delete a file; one that is not there is no error."""
        if is_s3(uri):
            s3_objects.delete(self.s3_client, uri)
        else:
            local_path(uri).unlink(missing_ok=True)


class _Reader:
    """A stream of which only ``read`` is promised.

    :ivar etag: of the object in S3; None for a local file.
    """

    def __init__(self, stream: IO[bytes] | Any, etag: str | None = None) -> None:
        self._stream = stream
        self.etag = etag

    def read(self, size: int, /) -> bytes:
        """At most ``size`` bytes; none at the end."""
        return bytes(self._stream.read(size))
