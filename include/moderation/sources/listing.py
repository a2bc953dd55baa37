"""What a source finds: rows of objects as Arrow batches, and what it leaves out because it is no image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference import limits
from moderation.sources import image_header
from moderation.sources.image_header import Rejection
from moderation.sources.positions import Position
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
        ("sent_as", pa.string()),
        ("transcoded_from", pa.string()),
    ]
)
"""``source_ref`` is ``s3://bucket/key``, or ``file:///…`` for a local file that was not uploaded (bucket and
key are null then). ``etag`` has no quotes and is null when unknown; ``size`` is in bytes. ``error_code`` is
set when the object cannot be analysed. ``origin`` is the path or key as the person knows it; null where
``source_ref`` says it. ``sent_as`` is what Rekognition is given in its place, ``s3://bucket/key``, and
``transcoded_from`` the format that it was then; both null for nearly all."""

OBJECTS = pa.schema(
    [
        ("bucket", pa.string()),
        ("key", pa.string()),
        ("etag", pa.string()),
        ("size", pa.int64()),
        ("last_modified", pa.timestamp("us", tz="UTC")),
    ]
)
"""What a listing of S3 says of an object; `size` and `etag` are null where it does not."""

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

ERASED = "erased on request"
"""A rule that only counts: whoever asked for that is named nowhere any more."""

NOTHING = "nothing"
"""The content of an empty file."""

_HADOOP_MARKER = "_$folder$"


@dataclass(frozen=True)
class Whole:
    """What a listing showed every object of.

    :param prefix: what the ``source_ref`` of each begins with.
    :param is_now: it showed what is there now; else what was there some time ago.
    :param deleted: names of objects that were deleted, of a source that tells these instead of showing all.
    """

    prefix: str
    is_now: bool
    deleted: pa.Array | None = None


@dataclass
class Tally:
    """Counts that grow while a source is read, and what it leaves out.

    :param names: names of what is plainly no image.
    :param unread: whether nobody reads the objects' bytes, so that a name alone decides.
    :param keep: takes what is left out, rows of `LEFT_OUT`; without it they are only counted.
    :ivar listed: everything found.
    :ivar by_rule: of these, how many each rule left out.
    :param since: how far a source that tells of changes was read before; None to read it whole.
    :ivar whole: said by a source at its end, if it has shown every object of something.
    :ivar reached: how far such a source was read now; said at its end.
    """

    names: NamePatterns = OTHER_FILES
    unread: bool = False
    keep: Callable[[pa.RecordBatch], None] | None = None
    since: Position | None = None
    listed: int = 0
    by_rule: Counter[str] = field(default_factory=Counter)
    whole: Whole | None = None
    reached: Position | None = None
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
    ) -> None:
        """Add one row; the size alone may already reject it."""
        if rejection is None and size is not None:
            rejection = image_header.check_size(size)
        code, message = rejection or (None, None)
        row = (source_ref, bucket, key, etag or None, size, last_modified, code, message, origin, None, None)
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)

    def take(self) -> pa.RecordBatch:
        """The rows so far as a batch; the builder is empty again."""
        arrays = [pa.array(column, field.type) for column, field in zip(self._columns, SCHEMA, strict=True)]
        for column in self._columns:
            column.clear()
        return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def object_rows(tally: Tally, objects: pa.RecordBatch) -> pa.RecordBatch:
    """Count S3 objects, and make rows of those that are not plainly no images.

    A name speaks against an object only where its bytes are not read or where it has none. Of a file too
    large and named like another kind the bytes decide whether it is an image at all.

    :param objects: rows of `OBJECTS`.
    :returns: rows of `SCHEMA`.
    """
    tally.listed += objects.num_rows
    keys, sizes = objects.column("key"), objects.column("size")
    empty = pc.fill_null(pc.equal(sizes, 0), fill_value=False)
    odd = pc.or_(empty, pc.fill_null(pc.greater(sizes, limits.IMAGE_MAX_BYTES), fill_value=False))
    asked = range(objects.num_rows) if tally.unread else pc.indices_nonzero(odd).to_pylist()
    codes: list[str | None] = [None] * objects.num_rows
    messages = list(codes)
    dropped = []
    for index in asked:  # The few of which more than the columns must be seen.
        key, size = keys[index].as_py(), sizes[index].as_py()
        pattern = tally.names.matching(key)
        if is_folder_marker(key, size):
            rule = FOLDER_MARKER
        elif pattern and (tally.unread or size == 0):
            rule = pattern
        else:
            if pattern is None and size is not None and (refused := image_header.check_size(size)):
                codes[index], messages[index] = refused
            continue
        content = NOTHING if size == 0 else None
        ref = f"s3://{objects.column('bucket')[index].as_py()}/{key}"
        tally.leave_out(ref, size=size, rule=rule, content=content)
        dropped.append(index)
    text = pa.string()
    folders = pc.binary_join_element_wise("s3:/", objects.column("bucket"), "/")
    refs = pc.binary_join_element_wise(folders, keys, "/")
    rows = pa.RecordBatch.from_arrays(
        [
            refs,
            objects.column("bucket"),
            keys,
            objects.column("etag"),
            sizes,
            objects.column("last_modified"),
            pa.array(codes, text),
            pa.array(messages, text),
            *(pa.nulls(objects.num_rows, text),) * 3,
        ],
        schema=SCHEMA,
    )
    if not dropped:
        return rows
    kept = [True] * objects.num_rows
    for index in dropped:
        kept[index] = False
    return rows.filter(pa.array(kept, pa.bool_()))


def chunked(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of up to ``size`` items each, in order."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
