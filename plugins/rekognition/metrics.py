"""What the account's quotas refuse, as metrics through Airflow to StatsD or OpenTelemetry."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from airflow.sdk.observability import stats

from rekognition.exceptions import RekognitionJobLimitReached, RekognitionThrottled

THROTTLES = "moderation.throttles"
JOB_LIMIT_WAITS = "moderation.job_limit_waits"
_collected: ContextVar[Counter[str] | None] = ContextVar("_collected", default=None)


def count_refusal(error: BaseException | None) -> None:
    """
    Count a refusal that is about to be waited out.

    Counters ``moderation.throttles`` (ThrottlingException, ProvisionedThroughputExceededException) and
    ``moderation.job_limit_waits`` (LimitExceededException: too many open jobs). Other errors count nothing.
    """
    if isinstance(error, RekognitionThrottled):
        _count(THROTTLES)
    elif isinstance(error, RekognitionJobLimitReached):
        _count(JOB_LIMIT_WAITS)


@contextmanager
def collected() -> Iterator[Counter[str]]:
    """Collect the counts of a block in place of sending them: Airflow's triggerer sends none of ours."""
    counts: Counter[str] = Counter()
    token = _collected.set(counts)
    try:
        yield counts
    finally:
        _collected.reset(token)


def send(counts: Mapping[str, int] | None) -> None:
    """Send what was collected elsewhere."""
    for name, count in (counts or {}).items():
        stats.incr(name, count)


def _count(name: str) -> None:
    counts = _collected.get()
    if counts is None:
        stats.incr(name)
    else:
        counts[name] += 1
