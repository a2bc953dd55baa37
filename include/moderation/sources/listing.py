"""What a source finds: rows of objects as Arrow batches, and which names are plainly no pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from moderation.sources import image_header
from moderation.sources.image_header import Rejection

T = TypeVar("T")

BATCH_ROWS = 10_000

SCHEMA = pa.schema(
    [
        ("source_ref", pa.string()),
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("origin", pa.string()),
    ]
)
"""``source_ref`` is ``s3://bucket/key``, or ``file:///…`` for a local file that was not uploaded (bucket and
key are null then). ``etag`` has no quotes and is null when unknown; ``size`` is in bytes. ``error_code`` is
set when the object cannot be analysed. ``origin`` is the path or key as the person knows it; null where
``source_ref`` says it."""

_NO_PICTURE = frozenset(
    """
    7z aac avi avro bak bat bz2 c cfg conf cpp css csv db db-shm db-wal doc docx ds_store duckdb eot
    epub exe flac flv gitattributes gitignore gitkeep go gz h html htm ini ipynb jar java js json
    jsonl jsonlines log lock m4a m4v manifest md md5 mjs mkv mov mp3 mp4 mpeg mpg ndjson odp ods odt
    ogg orc otf parquet pdf php pkl ppt pptx ps1 py pyc rar rb rs rst rtf sh sha256 sql sqlite srt
    sums tar tgz toml ts tsv ttf txt vtt wav webm wma wmv woff woff2 xls xlsx xml xz yaml yml zip
    zst
    """.split()  # noqa: SIM905 - eighty endings read better as text than one a line
)
_NO_PICTURE_NAMES = frozenset(
    {"thumbs.db", "desktop.ini", "license", "readme", "makefile", "_success", ".keep"}
)


@dataclass
class Tally:
    """Counts that grow while a source is read.

    :ivar listed: everything found.
    :ivar ignored: of these, what is plainly no picture: folders' markers and names such as ``notes.txt``.
    """

    listed: int = 0
    ignored: int = 0


def is_candidate(key: str) -> bool:
    """Whether an object of that name may be a picture.

    Only well-known other kinds of files are ignored. Whatever looks like a picture, including formats that
    Rekognition refuses, and whatever has an unknown ending or none is a candidate: its content decides.
    """
    name = key.rpartition("/")[2].casefold()
    if not name or name in _NO_PICTURE_NAMES or name.startswith("._"):
        return False
    return name.rpartition(".")[2] not in _NO_PICTURE or "." not in name


class ListingBuilder:
    """Collects rows column by column; a million objects never become a million Python dicts."""

    def __init__(self) -> None:
        self._columns: tuple[list[object], ...] = tuple([] for _ in SCHEMA)

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(
        self,
        *,
        source_ref: str,
        bucket: str | None,
        key: str | None,
        etag: str | None,
        size: int | None,
        last_modified: datetime | None,
        rejection: Rejection | None = None,
        origin: str | None = None,
    ) -> None:
        """Add one row; the size alone may already reject it."""
        if rejection is None and size is not None:
            rejection = image_header.check_size(size)
        code, message = rejection or (None, None)
        row = (source_ref, bucket, key, etag or None, size, last_modified, code, message, origin)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def add_object(self, tally: Tally, *, bucket: str, key: str, etag: str, size: int, at: datetime) -> None:
        """Count an S3 object and add its row if its name allows a picture."""
        tally.listed += 1
        if not is_candidate(key):
            tally.ignored += 1
            return
        self.add(
            source_ref=f"s3://{bucket}/{key}", bucket=bucket, key=key, etag=etag, size=size, last_modified=at
        )

    def take(self) -> pa.RecordBatch:
        """The rows so far as a batch; the builder is empty again."""
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, SCHEMA, strict=True)]
        for column in self._columns:
            column.clear()
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to ``size`` items each, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
