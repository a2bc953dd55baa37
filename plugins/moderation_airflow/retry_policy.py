"""Which failures of the pipeline's own tasks no retry can mend."""

from __future__ import annotations

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from moderation.errors import NeedsAPersonError


def moderation_retry_policy() -> ExceptionRetryPolicy:
    """Build the ``retry_policy`` of tasks that plan, publish and report: a person's errors fail now."""
    return ExceptionRetryPolicy(
        rules=[
            RetryRule(
                exception=NeedsAPersonError,
                action=RetryAction.FAIL,
                reason="a retry would end in the same way; the message says what to do",
            )
        ]
    )
