"""Whether a comparison is good enough for an adapter to be used: better where trained, worse nowhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from moderation.adapters.evaluation import BETTER, NOT_SHOWN, WORSE, Evaluation
from moderation.variables.adapters import AdapterSettings

PASSES, ASKS, STOPS = "passes", "asks", "stops"
AWS_MINIMUM = 20
"""Test images that AWS is content with: five errors mended of five prove nothing yet (p = 0.063)."""


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the gate says.

    :param verdict: ``passes``, ``asks`` (a person may promote knowingly) or ``stops``.
    :param reasons: why it does not pass, a sentence each.
    """

    verdict: str
    reasons: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {"verdict": self.verdict, "reasons": list(self.reasons)}


def judge(evaluation: Evaluation, *, rule: AdapterSettings, is_ours: bool = True) -> Gate:
    """Apply the rules to a comparison.

    :param is_ours: whether the test images are those of a frozen test set; those AWS draws by itself share
        near-duplicates with the training images.
    """
    stops: list[str] = []
    asks: list[str] = []
    unshown = stops if rule.gate_unshown == "stop" else asks
    if not is_ours:
        stops.append(
            "the test images were drawn by AWS at random, not kept apart by clusters of near-duplicates"
        )
    if evaluation.images <= AWS_MINIMUM:
        stops.append(
            f"{evaluation.images} test images prove nothing; AWS's minimum of {AWS_MINIMUM} does not either"
        )
    others = evaluation.images - min(
        (result.positives for result in evaluation.labels if result.trained), default=evaluation.images
    )
    if others < rule.test_negatives:
        unshown.append(
            f"{others} of {rule.test_negatives} test images without the label: "
            "new false alarms would not show"
        )
    for result in evaluation.labels:
        if result.outcome == WORSE:
            stops.append(f"{result.label} is worse: {result.reason}")
        elif result.outcome == NOT_SHOWN:
            unshown.append(f"{result.label} is not shown: {result.reason}")
        elif result.trained and result.outcome != BETTER:
            stops.append(f"{result.label} is not better: {result.reason} (p = {result.p:.3f})")
    if not any(result.trained for result in evaluation.labels):
        stops.append("no label that it was trained for was tested")
    verdict = STOPS if stops else ASKS if asks else PASSES
    return Gate(verdict=verdict, reasons=(*stops, *asks))


def of_both(then: Gate, now: Gate, *, told: str) -> Gate:
    """What the gate says where test images are decided otherwise than when the set was made.

    It has to let through both what was true then, which AWS's own counts are of, and what people say now;
    then a person decides.

    :param told: how many test images changed.
    """
    worst = max((then.verdict, now.verdict, ASKS), key=(PASSES, ASKS, STOPS).index)
    more = [f"as people say now, {reason}" for reason in now.reasons if reason not in then.reasons]
    return Gate(
        verdict=worst, reasons=(f"{told}; what is counted is what was said then", *then.reasons, *more)
    )
