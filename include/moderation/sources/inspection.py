"""Reads the headers of many S3 objects at once and rejects what Rekognition would refuse.

One ranged GET of 64 KB an object, more only where the header goes on. The answers also tell what changed
since the listing, so that a plan names the content that is really there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from moderation.reference import error_codes
from moderation.sources import image_header
from moderation.sources.image_header import HEAD_BYTES, Rejection
from moderation.sources.listing import BATCH_ROWS, NOTHING, SCHEMA, Tally
from moderation.storage import s3_objects

T = TypeVar("T")

_VERDICTS = {
    "NoSuchKey": error_codes.INVALID_S3_OBJECT,
    "404": error_codes.INVALID_S3_OBJECT,
    "AccessDenied": error_codes.ACCESS_DENIED,
    "403": error_codes.ACCESS_DENIED,
    "InvalidObjectState": error_codes.INVALID_S3_OBJECT,  # archived in Glacier
    "InvalidRequest": error_codes.INVALID_S3_OBJECT,  # encrypted with a key of the customer's own
    "InvalidRange": error_codes.EMPTY_FILE,
}
_OF_THE_CALL = frozenset({
    "Unreachable", "NoCredentials", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken",
    "InvalidToken", "RequestTimeTooSkewed", "Client",
})  # fmt: skip
"""They speak of the caller or the way to S3: of many in a row, the next would fare no better."""

_OF_THE_BUCKET = frozenset({
    "NoSuchBucket", "PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException",
})  # fmt: skip
_IN_A_ROW = 16

_CHANGED = {"PreconditionFailed", "412"}
"""The object changed just now: nothing speaks against the picture, so it is sent."""


@dataclass(frozen=True)
class _Found:
    """What an object turned out to be.

    :param is_image: its bytes were read, and are an image's of whatever format.
    :param content: what they are otherwise; None when they were not read.
    """

    etag: str | None
    size: int | None
    last_modified: datetime | None
    rejection: Rejection | None = None
    refused: s3_objects.S3Error | None = None
    is_image: bool = False
    content: str | None = None


@dataclass
class Refusals:
    """Objects that S3 refused in a way that speaks of no object, or could not give, over all of a listing.

    One of many is a fault of that object and becomes its row, whatever the code says; when every single one
    is refused alike, it is none of theirs. What S3 was too busy or too far away to give (something between
    cut the connection) is sent nevertheless.

    :param of_any_kind: many in a row, or the only one, are none of theirs whatever the code says.
    """

    of_any_kind: bool = False
    looked_at: int = 0
    codes: Counter[str] = field(default_factory=Counter)
    first: s3_objects.S3Error | None = None
    in_a_row: int = 0

    def note(self, refused: s3_objects.S3Error | None) -> None:
        """Count an object that was looked at.

        :raises s3_objects.S3Error: so many in a row failed for what speaks of the call that it is none of
            theirs.
        """
        self.looked_at += 1
        counts = refused is not None and (self.of_any_kind or refused.code in _OF_THE_CALL)
        self.in_a_row = self.in_a_row + 1 if counts else 0
        if refused is not None:
            self.codes[refused.code] += 1
            self.first = self.first or refused
            if self.in_a_row == _IN_A_ROW:
                raise _of_all(refused, f"the {_IN_A_ROW - 1} before it")

    def conclude(self) -> None:
        """Call it after the last portion.

        :raises s3_objects.S3Error: all of several objects were refused with the same code, or the only one
            for what speaks of the call or the bucket.
        """
        if self.first is None or self.codes[self.first.code] < self.looked_at:
            return
        if self.looked_at > 1:
            raise _of_all(self.first, f"the {self.looked_at - 1:,} others here")
        if self.of_any_kind or self.first.code in _OF_THE_CALL | _OF_THE_BUCKET:
            raise self.first


def _of_all(refused: s3_objects.S3Error, others: str) -> s3_objects.S3Error:
    """The same error, which says that it is no fault of this object."""
    cause = f"{refused.cause}; nor can any of {others}"
    return type(refused)(
        refused.code, bucket=refused.bucket, key=refused.key, action=refused.action, cause=cause
    )


def inspect(
    s3: Any,
    table: pa.Table,
    *,
    threads: int,
    refusals: Refusals | None = None,
    tally: Tally | None = None,
) -> pa.Table:
    """The rows of ``table`` as their objects are now, with the verdicts on their headers.

    ``etag``, ``size`` and ``last_modified`` are brought up to date. Rows that already have an error code,
    or no object in S3, stay as they are.

    :param s3: a client with at least ``threads`` connections.
    :param table: rows of :data:`moderation.sources.listing.SCHEMA`.
    :param refusals: counts what was refused in unknown ways, for whoever looks at several portions.
    :param tally: has the names of other kinds of files, and gets those that are indeed no images.
    :raises s3.S3Error: S3 cannot be reached, or takes nothing from the caller; a fault of one object becomes
        its code.
    """
    batches = []
    refusals, tally = refusals or Refusals(), tally or Tally()
    with ThreadPoolExecutor(threads, thread_name_prefix="inspect") as pool:
        for batch in table.to_batches(max_chunksize=BATCH_ROWS):
            rows = batch.to_pylist()
            due = [row for row in rows if row["error_code"] is None and row["bucket"] is not None]
            left_out = set()
            for row, found in zip(due, pool.map(lambda row: _inspect_one(s3, row), due), strict=True):
                refusals.note(found.refused)
                row.update(etag=found.etag, size=found.size, last_modified=found.last_modified)
                if found.rejection:
                    row.update(error_code=found.rejection.code, error_message=found.rejection.message)
                if not found.is_image and (pattern := tally.names.matching(row["key"])):
                    ref, size = row["source_ref"], row["size"]
                    tally.leave_out(ref, size=size, rule=pattern, content=found.content)
                    left_out.add(ref)
            rows = [row for row in rows if row["source_ref"] not in left_out]
            batches.append(pa.RecordBatch.from_pylist(rows, schema=SCHEMA))
    return pa.Table.from_batches(batches, schema=SCHEMA)


def count_due(table: pa.Table) -> int:
    """How many rows :func:`inspect` would read."""
    due = pc.and_(pc.is_null(table["error_code"]), pc.is_valid(table["bucket"]))
    return int(pc.sum(due).as_py() or 0)


def tried_again(call: Callable[[], T], s3: Any, bucket: str) -> T:
    """The value of a call about one object, once more where S3 failed at it and answers otherwise.

    :raises s3_objects.S3Unavailable: S3 fails at it again; or is away for all, then the error names no key.
    """
    try:
        return call()
    except s3_objects.S3Unavailable:
        with suppress(s3_objects.S3Refused):  # a refusal is an answer
            next(s3_objects.list_pages(s3, bucket, ""), None)
        return call()


def refused_by_s3(error: s3_objects.S3Error) -> Rejection:
    """What the row of an object says that S3 did not give; the next run asks for it again."""
    return Rejection(error_codes.INVALID_S3_OBJECT, f"S3 refuses it: {error.code}: {error.cause}")


def _inspect_one(s3: Any, row: dict[str, Any]) -> _Found:
    found = _Found(row["etag"], row["size"], row["last_modified"])
    try:
        head, size, found = _read_head(s3, row)

        def read(offset: int, length: int) -> bytes:
            if offset == 0:
                return head
            unchanged = {"IfMatch": f'"{found.etag}"'} if found.etag else {}
            return _read_range(s3, row["bucket"], row["key"], offset, length, **unchanged)[0]

        return replace(found, rejection=image_header.check_image(size, read))
    except s3_objects.S3Error as error:
        if error.code in _VERDICTS:
            content = NOTHING if error.code == "InvalidRange" else None
            told = Rejection(_VERDICTS[error.code], error.cause)
            return replace(found, rejection=told, content=content)
        if error.code in _CHANGED:
            return found
        if isinstance(error, s3_objects.S3Unavailable):
            return replace(found, refused=error)
        return replace(found, rejection=refused_by_s3(error), refused=error)


def _read_head(s3: Any, row: dict[str, Any]) -> tuple[bytes, int, _Found]:
    head, answer = _read_range(s3, row["bucket"], row["key"], 0, HEAD_BYTES)
    total = re.fullmatch(r"bytes \d+-\d+/(\d{1,18})", answer.get("ContentRange", ""))
    told = len(head) if len(head) < HEAD_BYTES else row["size"] or len(head)  # in chunks it has no length
    size = int(total[1]) if total else answer.get("ContentLength", told)
    is_image = image_header.is_image(head)
    content = None if is_image else image_header.content(head) if head else NOTHING
    found = _Found(
        s3_objects.etag_of(answer) or None,
        size,
        answer["LastModified"],
        is_image=is_image,
        content=content,
    )
    return head, size, found


def _read_range(
    s3: Any, bucket: str, key: str, start: int, length: int, **condition: str
) -> tuple[bytes, dict[str, Any]]:
    """Bytes of an object and what is told of it, also by who knows no ranges and gives all of it."""
    end = start + length
    with s3_objects.named_errors("read", bucket, key):
        answer = s3.get_object(Bucket=bucket, Key=key, Range=f"bytes={start}-{end - 1}", **condition)
        with closing(answer["Body"]) as body:
            if "LastModified" not in answer:  # a proxy with a page of its own knows none
                raise KeyError("LastModified")
            if "ContentRange" in answer:
                return body.read(), answer
            data: bytes = body.read(end)
            if len(data) < end:
                data += body.read()  # what is cut off is noticed at the end alone
    return data[start:], answer
