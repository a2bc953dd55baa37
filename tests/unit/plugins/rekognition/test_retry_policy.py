from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk import RetryAction

from rekognition import exceptions
from rekognition.retry_policy import rekognition_retry_policy


class RefusedTomorrow(exceptions.RekognitionError, exceptions.Permanent):
    """A class that no other file names."""


class SlowTomorrow(exceptions.RekognitionError, exceptions.Passing):
    """Another, with a delay of its own."""

    retry_delay = timedelta(hours=1)


@pytest.mark.parametrize(
    ("error", "action", "delay"),
    [
        (exceptions.RekognitionAccessDenied("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionRequestInvalid("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionArgumentError("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionMediaAnalysisJobFailedPermanently("no"), RetryAction.FAIL, None),
        (exceptions.RekognitionMediaAnalysisJobFailed("no"), RetryAction.DEFAULT, None),
        (exceptions.RekognitionMediaAnalysisJobTimeout("no"), RetryAction.DEFAULT, None),
        (exceptions.RekognitionThrottled("no"), RetryAction.RETRY, timedelta(minutes=2)),
        (exceptions.RekognitionUnavailable("no"), RetryAction.RETRY, timedelta(minutes=2)),
        (exceptions.RekognitionJobLimitReached("no"), RetryAction.RETRY, timedelta(minutes=10)),
        (RefusedTomorrow("no"), RetryAction.FAIL, None),
        (SlowTomorrow("no"), RetryAction.RETRY, timedelta(hours=1)),
        (KeyError("no"), RetryAction.DEFAULT, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_each_kind_of_error_is_retried_as_it_deserves(
    error: Exception, action: RetryAction, delay: timedelta | None
) -> None:
    decision = rekognition_retry_policy().evaluate(error, try_number=1, max_tries=3)
    assert (decision.action, decision.retry_delay) == (action, delay)
