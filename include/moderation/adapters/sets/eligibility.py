"""Whether a label can be trained: its errors and its right cases, counted in distinct contents."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moderation.adapters.sets.decided import Decided, spelled, with_ancestors
from moderation.errors import NeedsAPersonError
from moderation.reference.taxonomy import taxonomy
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

LEAST_TEST_IMAGES = 20
"""Of a test set (developer guide, "Custom Moderation", best practices); with fewer a training fails."""


class NotEligibleError(NeedsAPersonError):
    """There are too few errors of a label to train it; nothing was started."""


@dataclass(frozen=True, kw_only=True)
class Eligibility:
    """What people found of one label.

    :param false_positives: flagged by the base model, and absent.
    :param false_negatives: present, and not flagged.
    :param true_positives: flagged and present.
    :param true_negatives: neither.
    :param undecided: contents that people did not agree about, or are unsure of.
    :param needs_decision: contents that cannot train it before somebody decides about it and what is above.
    :param missing_false_positives: how many more are needed where these are to be enough; so the others.
    """

    label: str
    threshold: float
    false_positives: int
    false_negatives: int
    true_positives: int
    true_negatives: int
    undecided: int
    missing_false_positives: int
    missing_false_negatives: int
    eligible: bool
    needs_decision: int = 0

    def refusal(self) -> str:
        """Why it cannot be trained, and what would change that."""
        return (
            f"{self.label}: {self.false_positives} false positives ({self.missing_false_positives} missing) "
            f"and {self.false_negatives} false negatives ({self.missing_false_negatives} missing) at "
            f"threshold {self.threshold:g}, {self.true_positives + self.true_negatives} right, "
            f"{self.undecided} not agreed about. {self.what_next()}"
        )

    def what_next(self) -> str:
        """The queues of images that would fill what is missing; "" when nothing is."""
        if self.eligible:
            return ""
        label, command, queues = shlex.quote(self.label), Settings.from_env().command, []
        if self.missing_false_positives:
            queues.append(f"`{command} adapter queue {label} --for false-positives`")
        if self.missing_false_negatives:
            queues.append(f"`{command} adapter queue {label} --for false-negatives`")
        return "Verify what is likely to be wrong: " + " or ".join(queues)

    def row(self) -> dict[str, Any]:
        """All of it, for tables and JSON."""
        return {**vars(self), "what_next": self.what_next()}


def count(
    decided: Iterable[Decided],
    *,
    rule: AdapterSettings,
    thresholds: Mapping[str, float] | None = None,
    default_threshold: float = 50.0,
    labels: Collection[str] | None = None,
) -> list[Eligibility]:
    """Count each label; those nearest to a training first.

    :param decided: distinct contents; the same content given twice counts once, the first time.
    :param thresholds: the confidence in use from which a label counts as flagged, by label.
    :param labels: all that anybody decided about, by default.
    :raises UnknownLabelError: a label asked for is none.
    """
    contents = list({entry.content: entry for entry in reversed(list(decided))}.values())
    if labels is None:
        seen = {label for entry in contents for label in entry.outcomes}
        wanted: tuple[str, ...] = tuple(sorted(label for label in seen if taxonomy().lookup(label)))
    else:
        wanted = spelled(labels)
    rows = [
        _count(label, contents, rule, (thresholds or {}).get(label, default_threshold)) for label in wanted
    ]
    return sorted(rows, key=lambda row: (not row.eligible, _distance(row, rule), row.label))


def require(rows: Iterable[Eligibility], labels: Collection[str]) -> None:
    """Refuse a training of labels that are not eligible.

    :raises NotEligibleError: with the counts of each and the queue that would fill it.
    """
    wanted = set(spelled(labels))
    if refused := [row.refusal() for row in rows if row.label in wanted and not row.eligible]:
        raise NotEligibleError("too few errors to train on. " + "; ".join(refused))


def require_left(rows: Iterable[Eligibility], left: Iterable[Eligibility], *, tests: int) -> None:
    """Refuse a training whose set has too little left: AWS would begin it, fail it, and bill the time.

    What tests does not train, here or in any other set of the project, nor does what is near to it.

    :param rows: what people found in all.
    :param left: the same labels, counted in what trains.
    :param tests: the number of test images.
    :raises NotEligibleError: with the counts and what would fill them.
    """
    in_all = {row.label: row for row in rows}
    refused = [
        f"of {in_all[row.label].false_positives} false positives and {in_all[row.label].false_negatives} "
        f"false negatives of {row.label} the others test, in this set or in another one of the project, are "
        f"near to what tests, or cannot be used. {row.refusal()}"
        for row in left
        if not row.eligible
    ]
    if tests < LEAST_TEST_IMAGES:
        refused.append(
            f"{tests} test images ({LEAST_TEST_IMAGES - tests} missing): verify more images, such as those "
            f"of `{Settings.from_env().command} adapter queue {shlex.join(sorted(in_all))}`"
        )
    if refused:
        raise NotEligibleError("too little is left to train and test with. " + "; ".join(refused))


def _count(label: str, contents: list[Decided], rule: AdapterSettings, threshold: float) -> Eligibility:
    tally = dict.fromkeys(((flagged, has) for flagged in (True, False) for has in (True, False)), 0)
    undecided = needs_decision = 0
    path = with_ancestors((label,))
    for entry in contents:
        needs_decision += not all(map(entry.is_decided, path))
        if label not in entry.outcomes:
            continue
        if not entry.is_decided(label):
            undecided += 1
        elif entry.answered:
            tally[entry.is_flagged(label, threshold), entry.has(label)] += 1
    lacks_fp = max(0, rule.min_false_positives - tally[True, False])
    lacks_fn = max(0, rule.min_false_negatives - tally[False, True])
    lacking = (lacks_fp > 0, lacks_fn > 0)
    return Eligibility(
        label=label,
        threshold=threshold,
        false_positives=tally[True, False],
        false_negatives=tally[False, True],
        true_positives=tally[True, True],
        true_negatives=tally[False, False],
        undecided=undecided,
        missing_false_positives=lacks_fp,
        missing_false_negatives=lacks_fn,
        eligible=not (any(lacking) if rule.minimum == "both" else all(lacking)),
        needs_decision=needs_decision,
    )


def _distance(row: Eligibility, rule: AdapterSettings) -> float:
    parts = (
        row.missing_false_positives / rule.min_false_positives,
        row.missing_false_negatives / rule.min_false_negatives,
    )
    return max(parts) if rule.minimum == "both" else min(parts)
