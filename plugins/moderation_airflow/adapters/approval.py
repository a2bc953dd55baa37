"""The two questions to a person about an adapter: may it be trained, may it be used."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

from moderation.errors import NeedsAPersonError
from moderation.settings import Settings

if TYPE_CHECKING:
    from airflow.sdk import Context


class TrainingTooDearError(NeedsAPersonError):
    """A training costs more than it may; nothing was started."""


class TrainingApprovalOperator(ApprovalOperator):
    """
    Let a training go on if it costs no more than the param ``max_cost_usd``; above, fail or ask a person.

    Returns what was prepared: what follows may spend.

    :param prepared: what ``moderation.adapters.stages.prepare`` returned. (templated)
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "prepared")

    def __init__(self, *, prepared: Any, **kwargs: Any) -> None:
        kwargs = {
            "subject": "An adapter is to be trained",
            "defaults": self.REJECT,
            "fail_on_reject": True,
            **kwargs,
        }
        super().__init__(**kwargs)
        self.prepared = prepared

    def execute(self, context: Context) -> Any:
        """Compare price and limit."""
        params, cost = context["params"], self.prepared["expected_cost_usd"]
        limit = params["max_cost_usd"]
        if limit is not None and cost <= limit:
            return self.prepared
        told = f"The training costs about {cost:,.2f} USD" + (
            f" and may cost {limit:,.2f}" if limit is not None else ""
        )
        if limit is not None and params["on_over_budget"] == "fail":
            raise TrainingTooDearError(
                f"{told}; raise max_cost_usd. The set is kept: {self.prepared['set_uri']}"
            )
        self.subject = told
        self.body = f"{self.prepared['text']}\n\n**Approve**: it is trained and paid for."
        super().execute(context)  # parks the task by raising
        return self.prepared

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Go on, or not, as the person said."""
        super().execute_complete(context, event)
        return self.prepared


class PromotionApprovalOperator(ApprovalOperator):
    """
    Ask a person whether an adapter is to be used from now on, and promote it in their name.

    What the gate stops is not asked about. With the param ``promote`` at ``alone``, what passes the gate is
    promoted without asking, in the name of the Dag. Returns the ARN.

    :param evaluated: what ``moderation.adapters.stages.evaluate`` returned. (templated)
    """

    template_fields: Collection[str] = (*ApprovalOperator.template_fields, "evaluated")

    def __init__(self, *, evaluated: Any, **kwargs: Any) -> None:
        kwargs = {
            "subject": "An adapter is to be used from now on",
            "defaults": self.REJECT,
            "fail_on_reject": True,
            **kwargs,
        }
        super().__init__(**kwargs)
        self.evaluated = evaluated

    def execute(self, context: Context) -> str:
        """Promote alone, or ask."""
        from moderation.adapters import stages  # noqa: PLC0415 - keeps parsing fast

        passes = self.evaluated["verdict"] == "passes"
        alone = context["params"]["promote"] == "alone" and passes
        if alone or stages.is_stopped(self.evaluated):
            return self._promote(f"Dag {context['ti'].dag_id}")
        told = [*self.evaluated["labels"], *self.evaluated["reasons"]]
        self.body = "\n".join(f"- {line}" for line in told) + (
            "\n\n**Approve**: images that were never answered go to the adapter. Older ones stay as they are."
        )
        super().execute(context)  # parks the task by raising
        return str(self.evaluated["arn"])

    def execute_complete(self, context: Context, event: dict[str, Any]) -> str:
        """Promote in the name of who approved."""
        super().execute_complete(context, event)
        person = (event.get("responded_by_user") or {}).get("name") or "somebody"
        return self._promote(person, knowingly=True)

    def _promote(self, person: str, *, knowingly: bool = False) -> str:
        from moderation.adapters import stages  # noqa: PLC0415
        from moderation.publish.adapters import publish_after  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        arn = stages.promote(
            self.evaluated["arn"], person=person, rekognition=RekognitionHook().conn, knowingly=knowingly
        )
        publish_after(Settings.from_env())
        return arn
