from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from rekognition import exceptions
from rekognition.retry_policy import rekognition_retry_policy


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (exceptions.RekognitionAccessDenied("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionRequestInvalid("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionArgumentError("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionMediaAnalysisJobFailedPermanently("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionMediaAnalysisJobFailed("no"), RetryAction.DEFAULT, None),
        (exceptions.RekognitionMediaAnalysisJobTimeout("no"), RetryAction.DEFAULT, None),
        (exceptions.RekognitionThrottled("no"), RetryAction.RETRY, timedelta(minutes=3)),
        (exceptions.RekognitionUnavailable("no"), RetryAction.RETRY, timedelta(minutes=3)),
        (exceptions.RekognitionJobLimitReached("no"), RetryAction.RETRY, timedelta(minutes=20)),
        (KeyError("no"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_error_is_retried_as_it_deserves(
    error: Exception, action: RetryAction, delay: timedelta | None
) -> None:
    policy = rekognition_retry_policy(
        throttled_delay=timedelta(minutes=3), job_limit_delay=timedelta(minutes=20)
    )
    decision = policy.evaluate(error, try_number=1, max_tries=3)
    assert (decision.action, decision.retry_delay) == (action, delay)
