"""Where buckets are: Rekognition uses S3 in the region of the call only.

S3 itself says where a bucket is, in ``x-amz-bucket-region`` of HeadBucket or as GetBucketLocation's
constraint. A server that knows no regions, as SeaweedFS, says neither; its buckets are where the settings
say, or everywhere.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

_REMEMBERED_SECONDS = 60.0
_REMEMBERED_BUCKETS = 1000
_OLD_NAMES = {"EU": "eu-west-1"}
"""What GetBucketLocation still answers for buckets of long ago (S3 API reference)."""


class BucketRegions:
    """Regions of buckets; safe to use from many threads.

    :param given: region by bucket, for an S3 that knows none; ``*`` stands for all buckets that are not
        named. It goes before what S3 says.
    :param clock: monotonic seconds.
    """

    def __init__(self, given: Mapping[str, str], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._given = given
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[tuple[int, str], tuple[str | None, float]] = {}

    def is_elsewhere(self, client: Any, bucket: str, *, region: str) -> bool:
        """Whether a bucket is known to be in another region than ``region``.

        :param client: S3 client of the caller.
        :raises ClientError: S3 had an error of its own.
        :raises BotoCoreError: S3 is away.
        """
        given = self._given.get(bucket, self._given.get("*"))
        found = given if given is not None else self._remembered(client, bucket)
        return found is not None and found != region

    def _remembered(self, client: Any, bucket: str) -> str | None:
        place = (id(client), bucket)
        with self._lock:
            region, until = self._known.get(place, (None, 0.0))
        if until > self._clock():
            return region
        region, is_certain = _ask(client, bucket)
        if not is_certain:
            return region
        with self._lock:
            if len(self._known) >= _REMEMBERED_BUCKETS:
                self._known.clear()
            self._known[place] = (region, self._clock() + _REMEMBERED_SECONDS)
        return region


def _ask(client: Any, bucket: str) -> tuple[str | None, bool]:
    """Return the region that S3 names, None if it names none, and whether the bucket was there at all."""
    try:
        answer = client.head_bucket(Bucket=bucket)
    except ClientError as error:
        answer = error.response
        if _server_failed(error):
            raise
    metadata = answer.get("ResponseMetadata", {})
    header = metadata.get("HTTPHeaders", {}).get("x-amz-bucket-region")
    if metadata.get("HTTPStatusCode") == 404:
        return None, False
    if header:
        return str(header), True
    try:
        constraint = client.get_bucket_location(Bucket=bucket).get("LocationConstraint")
    except ClientError as error:
        if _server_failed(error):
            raise
        return None, False
    return _OLD_NAMES.get(constraint, constraint) or None, True


def _server_failed(error: ClientError) -> bool:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)) >= 500
