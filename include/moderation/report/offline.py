"""What is said of answers that no one was billed for: those of the offline model."""

from __future__ import annotations

from collections.abc import Mapping

from moderation.plan.ledger import Model
from moderation.report.page import wording


def notice(answers: Mapping[str | None, int]) -> str | None:
    """That answers are the offline model's, and that nothing was billed for them; None when none are.

    :param answers: how many there are, by model version.
    """
    offline = {name: count for name, count in answers.items() if name and Model.parse(name).is_offline}
    if not any(offline.values()):
        return None
    names = ", ".join(wording.foreign(name) for name in sorted(offline))
    number, total = sum(offline.values()), sum(answers.values())
    share = f"All {total:,}" if number == total else f"{number:,} of {total:,}"
    return (
        f"{share} answers are the offline model's ({names}), not Amazon Rekognition's: nothing was billed "
        "for them. Their price is what AWS would take."
    )
