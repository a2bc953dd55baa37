"""What the account's quotas refuse, as metrics through Airflow to StatsD or OpenTelemetry."""

from __future__ import annotations

from airflow.sdk.observability import stats

from rekognition.exceptions import RekognitionJobLimitReached, RekognitionThrottled

THROTTLES = "moderation.throttles"
JOB_LIMIT_WAITS = "moderation.job_limit_waits"


def count_refusal(error: BaseException | None) -> None:
    """
    Count a refusal that is about to be waited out.

    Counters ``moderation.throttles`` (ThrottlingException, ProvisionedThroughputExceededException) and
    ``moderation.job_limit_waits`` (LimitExceededException: too many open jobs). Other errors count nothing.
    """
    if isinstance(error, RekognitionThrottled):
        stats.incr(THROTTLES)
    elif isinstance(error, RekognitionJobLimitReached):
        stats.incr(JOB_LIMIT_WAITS)
