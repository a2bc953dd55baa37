"""Which failures of the pipeline's own tasks no retry can mend."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from moderation.errors import NeedsAPersonError
from moderation.storage.s3_objects import S3Unavailable


def moderation_retry_policy(
    *, also: ExceptionRetryPolicy | None = None, unavailable_delay: timedelta = timedelta(minutes=2)
) -> ExceptionRetryPolicy:
    """Build the pipeline's ``retry_policy``: what a person must mend fails now, an outage is waited out.

    :param also: rules for what none of these is.
    :param unavailable_delay: wait before the retry when S3 did not answer.
    """
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=NeedsAPersonError,
                action=RetryAction.FAIL,
                reason="a retry would end in the same way; the message says what to do",
            ),
            RetryRule(
                exception=S3Unavailable,
                action=RetryAction.RETRY,
                retry_delay=unavailable_delay,
                reason="S3 does not answer",
            ),
            *(also.rules if also else ()),
        ]
    )
