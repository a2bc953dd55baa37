"""Which failures of a Rekognition task are worth another try, and after how long."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from rekognition.exceptions import (
    RekognitionAccessDenied,
    RekognitionArgumentError,
    RekognitionJobLimitReached,
    RekognitionMediaAnalysisJobFailedPermanently,
    RekognitionRequestInvalid,
    RekognitionThrottled,
    RekognitionUnavailable,
)


def rekognition_retry_policy(
    *,
    throttled_delay: timedelta = timedelta(minutes=2),
    job_limit_delay: timedelta = timedelta(minutes=10),
) -> ExceptionRetryPolicy:
    """
    Build the ``retry_policy`` of a Rekognition task.

    What AWS would answer in the same way for ever fails now; throttling and a full job quota wait; all else
    keeps the task's own ``retries`` and ``retry_delay``.

    :param throttled_delay: wait before the retry of a throttled or disturbed call.
    :param job_limit_delay: wait before the retry when no job slot became free in the time allowed.
    """
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=[
                    RekognitionArgumentError,
                    RekognitionRequestInvalid,
                    RekognitionMediaAnalysisJobFailedPermanently,
                ],
                action=RetryAction.FAIL,
                reason="AWS will refuse this request again; change it first",
            ),
            RetryRule(
                exception=RekognitionAccessDenied,
                action=RetryAction.FAIL,
                reason="not permitted: check IAM, the connection, and whether the account may run bulk jobs",
            ),
            RetryRule(
                exception=RekognitionJobLimitReached,
                action=RetryAction.RETRY,
                retry_delay=job_limit_delay,
                reason="too many open media analysis jobs in this account and region",
            ),
            RetryRule(
                exception=[RekognitionThrottled, RekognitionUnavailable],
                action=RetryAction.RETRY,
                retry_delay=throttled_delay,
                reason="Rekognition is busy",
            ),
        ]
    )
