"""Transactions per second: one token bucket for each region and operation."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from local_aws.rekognition.wire.errors import ApiError


@dataclass
class _Bucket:
    tokens: float
    filled_at: float
    second: int = 0
    refused: int = 0


class Throttle:
    """Refuses calls above a rate.

    A bucket holds one second's worth of calls, so that a rate kept evenly is never refused. AWS tells a
    steady excess (ProvisionedThroughputExceededException) from a sudden one (ThrottlingException, "sudden
    increase in rate of requests"); where it draws the line is not published. Here a second with more refused
    calls than the quota allows is sudden.

    :param clock: monotonic seconds; a parameter for tests.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, str], _Bucket] = {}
        self._lock = threading.Lock()

    def take(self, region: str, operation: str, rate: float | None) -> None:
        """Count one call.

        :param rate: calls per second; None for no limit.
        :raises ApiError: the call is above the rate.
        """
        if rate is None:
            return
        with self._lock:
            now = self._clock()
            capacity = max(1.0, rate)
            bucket = self._buckets.setdefault((region, operation), _Bucket(capacity, now))
            bucket.tokens = min(capacity, bucket.tokens + (now - bucket.filled_at) * rate)
            bucket.filled_at = now
            if bucket.tokens >= 1:
                bucket.tokens -= 1
                return
            if bucket.second != int(now):
                bucket.second, bucket.refused = int(now), 0
            bucket.refused += 1
            sudden = bucket.refused > rate
        if sudden:
            raise ApiError("ThrottlingException")
        raise ApiError("ProvisionedThroughputExceededException")
