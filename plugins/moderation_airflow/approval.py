"""The gate before the first paid call."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context

ASK = "ask"


class SpendApprovalOperator(ApprovalOperator):
    """
    Let a run go on if its plan costs no more than ``max_cost_usd``; above, fail or ask a person.

    Reads the Dag's params ``max_cost_usd`` (null: no limit), ``on_over_budget`` (``fail`` or ``ask``) and
    ``dry_run`` (then what follows is skipped). A person who rejects, or who does not answer within
    ``response_timeout``, fails the task. Returns the plan's URI: what follows may spend.

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
        self.subject = spending.headline
        self.body = f"```\n{spending.text()}```"
        super().execute(context)  # parks the task by raising
        return self.plan_uri

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Go on, or not, as the person said."""
        from moderation import stages  # noqa: PLC0415

        try:
            super().execute_complete(context, event)
        except HITLRejectException:
            spending = stages.spending(self.plan_uri, max_cost_usd=context["params"]["max_cost_usd"])
            person = (event.get("responded_by_user") or {}).get("name") or "nobody in time"
            answer = f"answered by {person}: rejected"
            stages.refuse(self.plan_uri, f"{spending.refusal()} ({answer})")
        stages.approve(self.plan_uri)
        return self.plan_uri
