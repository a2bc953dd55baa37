"""Which failures of a Rekognition task are worth another try, and after how long."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from rekognition.exceptions import Passing, Permanent

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.retry_policy import RetryDecision


def rekognition_retry_policy() -> ExceptionRetryPolicy:
    """
    Build the ``retry_policy`` of a Rekognition task.

    What AWS would answer in the same way for ever fails now; what passes waits as long as its class says; all
    else keeps the task's own ``retries`` and ``retry_delay``.
    """
    return _PolicyByKind(
        rules=[
            RetryRule(exception=Permanent, action=RetryAction.FAIL),
            RetryRule(exception=Passing, action=RetryAction.RETRY),
        ]
    )


class _PolicyByKind(ExceptionRetryPolicy):
    """Takes delay and reason from the exception's class."""

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        decision = super().evaluate(exception, try_number, max_tries, context)
        if isinstance(exception, Permanent):
            return replace(decision, reason=exception.why)
        if isinstance(exception, Passing):
            return replace(decision, reason=exception.why, retry_delay=exception.retry_delay)
        return decision
