"""What a source finds: rows of objects as Arrow batches, and what it leaves out because it is no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar

import pyarrow as pa

from moderation.sources import image_header
from moderation.sources.image_header import Rejection
from moderation.variables.names import OTHER_FILES, NamePatterns

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

LEFT_OUT = pa.schema(
    [
        ("source_ref", pa.string()),
        ("size", pa.int64()),
        ("rule", pa.string()),
        ("content", pa.string()),
    ]
)
"""What is left out because it is no image. ``rule`` is `FOLDER_MARKER`, `NEVER_IN_S3` or the pattern of
names it has; ``content`` says what its first bytes are, null when only its name was looked at."""

FOLDER_MARKER = "folder marker"
NEVER_IN_S3 = "never in S3"
MENTIONED_AGAIN = "mentioned again"
"""A rule that only counts: the object has its row by another mention."""

NOTHING = "nothing"
"""The content of an empty file."""

_HADOOP_MARKER = "_$folder$"


@dataclass
class Tally:
    """Counts that grow while a source is read, and what it leaves out.

    :param names: names of what is plainly no image.
    :param unread: whether nobody reads the objects' bytes, so that a name alone decides.
    :param keep: takes what is left out, rows of `LEFT_OUT`; without it they are only counted.
    :ivar listed: everything found.
    :ivar by_rule: of these, how many each rule left out.
    """

    names: NamePatterns = OTHER_FILES
    unread: bool = False
    keep: Callable[[pa.RecordBatch], None] | None = None
    listed: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    _waiting: list[tuple[str, int | None, str, str | None]] = field(default_factory=list)

    @property
    def ignored(self) -> int:
        """How many were left out, by all rules."""
        return self.by_rule.total()

    def leave_out(self, source_ref: str, *, size: int | None, rule: str, content: str | None = None) -> None:
        """Count what is no image, and keep its name."""
        self.by_rule[rule] += 1
        if self.keep:
            self._waiting.append((source_ref, size, rule, content))
            if len(self._waiting) >= BATCH_ROWS:
                self.flush()

    def flush(self) -> None:
        """Hand on what waits to be kept; call it last."""
        if self.keep and self._waiting:
            columns = zip(*self._waiting, strict=True)
            arrays = [pa.array(column, kind.type) for column, kind in zip(columns, LEFT_OUT, strict=True)]
            self.keep(pa.RecordBatch.from_arrays(arrays, schema=LEFT_OUT))
            self._waiting.clear()


def is_folder_marker(key: str, size: int) -> bool:
    """Whether an object only says that there is a folder, as consoles and Hadoop write them."""
    return size == 0 and key.endswith(("/", _HADOOP_MARKER))


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
        judge_size: bool = True,
    ) -> None:
        """Add one row; the size alone may already reject it."""
        if judge_size and rejection is None and size is not None:
            rejection = image_header.check_size(size)
        code, message = rejection or (None, None)
        row = (source_ref, bucket, key, etag or None, size, last_modified, code, message, origin)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def add_object(self, tally: Tally, *, bucket: str, key: str, etag: str, size: int, at: datetime) -> None:
        """Count an S3 object, and add its row unless it is plainly no image.

        A name speaks against an object only where its bytes are not read or where it has none.
        """
        tally.listed += 1
        source_ref = f"s3://{bucket}/{key}"
        pattern = tally.names.matching(key)
        if is_folder_marker(key, size):
            tally.leave_out(source_ref, size=size, rule=FOLDER_MARKER, content=NOTHING)
        elif pattern and (tally.unread or size == 0):
            tally.leave_out(source_ref, size=size, rule=pattern, content=None if size else NOTHING)
        else:
            # Of a file too large and named like another kind the bytes decide whether it is an image at all.
            self.add(
                source_ref=source_ref,
                bucket=bucket,
                key=key,
                etag=etag,
                size=size,
                last_modified=at,
                judge_size=pattern is None,
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
