"""The few S3 calls of a client, in memory and on a clock of the test's, for what no real server can show."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from botocore.exceptions import ClientError
from botocore.response import StreamingBody

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class FakeS3:
    """A bucket whose time stands still unless moved, in whole seconds as S3 tells it.

    :param around_each: called before each call takes effect, and again before its answer arrives; what it
        raises is what the caller gets.
    """

    def __init__(self, around_each: Callable[[], None] = lambda: None) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.now = 0.0
        self._around_each = around_each

    def put_object(
        self, *, Key: str, Body: Any, IfNoneMatch: str = "", IfMatch: str = "", **_: Any
    ) -> dict[str, Any]:
        self._around_each()
        if IfNoneMatch and Key in self.objects:
            raise _error("PreconditionFailed", 412)
        if IfMatch and (Key not in self.objects or _etag(self.objects[Key][0]) != IfMatch):
            raise _error("PreconditionFailed", 412)
        body = bytes(Body if isinstance(Body, bytes) else Body.read())
        self.objects[Key] = (body, self._time())
        return self._answer(ETag=_etag(body))

    def get_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        self._around_each()
        if Key not in self.objects:
            raise _error("NoSuchKey", 404)
        body, modified = self.objects[Key]
        return self._answer(
            Body=StreamingBody(io.BytesIO(body), len(body)),
            ETag=_etag(body),
            LastModified=modified,
            ContentLength=len(body),
        )

    def head_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        if Key not in self.objects:
            raise _error("404", 404)
        return self.get_object(Key=Key)

    def delete_object(self, *, Key: str, **_: Any) -> dict[str, Any]:
        self._around_each()
        self.objects.pop(Key, None)
        return self._answer()

    def get_paginator(self, _: str) -> FakeS3:
        return self

    def paginate(self, *, Prefix: str, **_: Any) -> Iterator[dict[str, Any]]:
        self._around_each()
        yield self._answer(
            Contents=[
                {"Key": key, "ETag": _etag(body), "LastModified": modified, "Size": len(body)}
                for key, (body, modified) in sorted(self.objects.items())
                if key.startswith(Prefix)
            ]
        )

    def _time(self) -> datetime:
        return _EPOCH + timedelta(seconds=int(self.now))

    def _answer(self, **members: Any) -> dict[str, Any]:
        date = format_datetime(self._time(), True)
        self._around_each()
        return {**members, "ResponseMetadata": {"HTTPHeaders": {"date": date}}}


def _etag(body: bytes) -> str:
    return f'"{hashlib.md5(body).hexdigest()}"'


def _error(code: str, status: int) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "fake"
    )
