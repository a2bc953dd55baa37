"""What becomes of a failed task of the pipeline: the kind of its error decides."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow.sdk import ExceptionRetryPolicy, RetryAction, RetryRule

from moderation.errors import DefectError, NeedsAPersonError, TransientError
from moderation.reference.library_errors import named

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.retry_policy import RetryDecision, RetryPolicy


def moderation_retry_policy(
    *, also: RetryPolicy | None = None, delay: timedelta = timedelta(minutes=2)
) -> ExceptionRetryPolicy:
    """Build the pipeline's ``retry_policy``.

    What a person must mend, and a defect, fails now; what passes by itself is waited out; what nobody has
    thought of keeps the task's own ``retries`` and ``retry_delay``.

    :param also: asked about errors of no kind.
    :param delay: wait before the retry after what passes by itself.
    """
    return _PolicyByKind(also=also, delay=delay)


class _PolicyByKind(ExceptionRetryPolicy):
    def __init__(self, *, also: RetryPolicy | None, delay: timedelta) -> None:
        super().__init__(
            rules=[
                RetryRule(
                    exception=NeedsAPersonError,
                    action=RetryAction.FAIL,
                    reason="a retry would end in the same way; the message says what to do",
                ),
                RetryRule(
                    exception=TransientError,
                    action=RetryAction.RETRY,
                    retry_delay=delay,
                    reason="it passes by itself",
                ),
                RetryRule(
                    exception=DefectError,
                    action=RetryAction.FAIL,
                    reason="a defect of the pipeline, which a retry would meet again; please report it",
                ),
            ]
        )
        self.also = also

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        decision = super().evaluate(named(exception) or exception, try_number, max_tries, context)
        if decision.action is RetryAction.DEFAULT and self.also:
            return self.also.evaluate(exception, try_number, max_tries, context)
        return decision
