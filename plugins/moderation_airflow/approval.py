"""The gate before the first paid call."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

from moderation_airflow import alerts

if TYPE_CHECKING:
    from datetime import timedelta

    from airflow.sdk import Context

ASK = "ask"
ANSWER_KEY = "spend_approval"


def _consequences(wait: timedelta | None) -> str:
    silence = f", or no answer within {wait.total_seconds() / 3600:g} hours" if wait else ""
    return (
        "**Approve**: the run goes on and pays at most this price. "
        f"**Reject**{silence}: it ends; nothing was sent and nothing is paid."
    )


class SpendApprovalOperator(ApprovalOperator):
    """
    Let a run go on if its plan costs no more than ``max_cost_usd``; above, fail or ask a person.

    Reads the Dag's params ``max_cost_usd`` (null: no limit), ``on_over_budget`` (``fail`` or ``ask``) and
    ``dry_run`` (then what follows is skipped). A person who rejects, or who does not answer within
    ``response_timeout``, fails the task; clearing it asks anew. Returns the plan's URI: what follows
    may spend.

    :param plan_uri: URI of the plan. (templated)
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "plan_uri")

    def __init__(self, *, plan_uri: str, **kwargs: Any) -> None:
        kwargs = {
            "subject": "A moderation run costs more than it may spend",
            "defaults": self.REJECT,
            "fail_on_reject": True,
            **kwargs,
        }
        super().__init__(**kwargs)
        self.plan_uri = plan_uri

    def execute(self, context: Context) -> str:
        """Compare price and limit."""
        from moderation import stages  # noqa: PLC0415 - keeps parsing fast

        params = context["params"]
        spending = stages.spending(self.plan_uri, max_cost_usd=params["max_cost_usd"])
        if params["dry_run"]:
            raise AirflowSkipException(f"dry run: {spending.headline}")
        if not spending.is_over:
            self.log.info("%s", spending.headline)
            return self.plan_uri
        if params["on_over_budget"] != ASK:
            stages.refuse(self.plan_uri, spending.refusal())
        if remembered := self._answer(context):
            return self._go_on(context, *remembered)
        self.subject = spending.headline
        wait = self.response_timeout
        # Airflow folds the lines of everything but tables.
        self.body = f"{spending.markdown()}\n{_consequences(wait)}\n"
        alerts.approval_is_awaited(
            context,
            headline=spending.headline,
            limit_usd=params["max_cost_usd"],
            hours=wait.total_seconds() / 3600 if wait else math.inf,
        )
        super().execute(context)  # parks the task by raising
        return self.plan_uri

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Go on, or not, as the person said."""
        try:
            super().execute_complete(context, event)
        except HITLRejectException:
            approved = False
        else:
            approved = True
        person = (event.get("responded_by_user") or {}).get("name") or ""
        answer = {"round": context["ti"].max_tries, "approved": approved, "person": person}
        context["task_state_store"].set(ANSWER_KEY, answer)
        return self._go_on(context, approved, person)

    def _answer(self, context: Context) -> tuple[bool, str] | None:
        """Whether a person approved, and who; None if nobody was asked since the task was last cleared.

        A try may end after the answer and before it is carried out: nobody is asked twice for that.
        """
        stored = context["task_state_store"].get(ANSWER_KEY)
        # Clearing a task raises max_tries, retrying it does not: that tells the two apart.
        if not stored or stored["round"] != context["ti"].max_tries:
            return None
        return stored["approved"], stored["person"]

    def _go_on(self, context: Context, approved: bool, person: str) -> str:
        from moderation import stages  # noqa: PLC0415
        from moderation_airflow.archives.runs import KnownRuns  # noqa: PLC0415

        if not approved:
            spending = stages.spending(self.plan_uri, max_cost_usd=context["params"]["max_cost_usd"])
            answer = f"{person} rejected it" if person else "nobody approved it in time"
            stages.refuse(self.plan_uri, spending.refusal(answer=answer))
        stages.approve(self.plan_uri, lives=KnownRuns(context["ti"]).lives)
        return self.plan_uri
