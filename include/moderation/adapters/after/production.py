"""What an adapter does on the images it answers, beside what it replaced did on those before it.

Both come from verdicts on random draws (`moderation.review.statistics`) and are never put together: other
model, adapter or threshold, other number. The images are not the same ones, so this tells less than the test
set, and of the real archive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any

from moderation.adapters.registry import Registry, Version
from moderation.review.statistics.numbers import Numbers, numbers_of
from moderation.review.statistics.rates import in_words
from moderation.settings import Settings
from moderation.variables.adapters import AdapterSettings

PRECISION, MISSED = "precision", "missed_share"
WORSE, NOT_SHOWN, NOT_YET = "worse", "not shown to be worse", "not measurable yet"
_Z95 = NormalDist().inv_cdf(0.975)
"""Of the intervals of `moderation.review.statistics`."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A share in production.

    :param value: 0 to 1; None where it is not measurable yet. So ``low`` and ``high``, at 95 %.
    :param n: decided images that it comes from; ``k`` of them are so.
    :param reason: why there is none.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0
    k: int = 0
    reason: str = ""
    population: str = ""
    model_version: str | None = None
    threshold: float | None = None

    @property
    def text(self) -> str:
        """The share with its interval, or why there is none."""
        return in_words(vars(self)) if self.value is not None else self.reason


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A label in production: what was replaced, and what replaced it.

    :param label: None for the image as a whole.
    :param measure: ``precision``, or ``missed_share``: of images that were not flagged, those that have it.
    :param outcome: ``worse``, ``not shown to be worse``, or ``not measurable yet`` for one of them.
    """

    label: str | None
    measure: str
    old: Measured
    new: Measured
    outcome: str

    def text(self) -> str:
        """A sentence."""
        what = "precision" if self.measure == PRECISION else "share missed"
        return f"{self.label or 'any label'}, {what}: {self.new.text}; before: {self.old.text}"


@dataclass(frozen=True, kw_only=True)
class Production:
    """A promoted adapter in production.

    :param old: the ARN of what it replaced; None for the base model.
    :param suggestion: why it should be rolled back; None where nothing says so. Nothing is rolled back by
        itself.
    """

    arn: str
    old: str | None
    promoted_at: str
    rows: tuple[Beside, ...]
    suggestion: str | None

    def lines(self) -> list[str]:
        """What there is to tell, the suggestion first."""
        told = [self.suggestion] if self.suggestion else []
        return [*told, f"in production since {self.promoted_at}:", *(row.text() for row in self.rows)]

    def record(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self)


def compare(
    registry: Registry, version: Version, numbers: Numbers, rule: AdapterSettings
) -> Production | None:
    """Put a version beside what it replaced; None for one that was never promoted.

    A roll-back is suggested when the interval of a difference lies on the worse side alone: that of
    precision or of the share missed, of the labels that it was trained for, the image as a whole, and every
    other label that is measurable. The confidence (``MODERATION_ADAPTER_CONFIDENCE``) is of all these
    differences together (Bonferroni), so that two models that are alike are seldom told apart however many
    labels there are.
    """
    event = registry.promotion_of(version.arn)
    if event is None:
        return None
    old = registry.before(event)
    pairs = list(_pairs(version, old, numbers, rule.sample_verdicts))
    tested = sum(measured.value is not None and before.value is not None for *_, before, measured in pairs)
    limit = (1 - rule.gate_confidence / 100) / 2 / max(1, tested)
    rows = tuple(
        Beside(
            label=label, measure=measure, old=before, new=now, outcome=_outcome(measure, before, now, limit)
        )
        for label, measure, before, now in pairs
    )
    worse = [row for row in rows if row.outcome == WORSE]
    suggestion = None
    if worse and registry.champion == version.arn:
        suggestion = (
            "In production it is shown to be worse than what it replaced: roll it back. "
            + "; ".join(row.text() for row in worse)
        )
    return Production(arn=version.arn, old=old, promoted_at=event.at, rows=rows, suggestion=suggestion)


def of_settings(settings: Settings, registry: Registry, version: Version, draws: Any) -> Production | None:
    """`compare` with the numbers of what is published.

    :param draws: of `moderation.review.statistics.draws.drawn`.
    :raises moderation.errors.WarehouseMissingError: nothing was published yet.
    """
    if registry.promotion_of(version.arn) is None:
        return None
    numbers = numbers_of(settings, draws=draws if draws.num_rows else None)
    return compare(registry, version, numbers, AdapterSettings.from_env())


def _pairs(
    version: Version, old: str | None, numbers: Numbers, needed: int
) -> Iterator[tuple[str | None, str, Measured, Measured]]:
    rows = numbers.pick(PRECISION, MISSED)
    others = {row["label"] for row in rows if row["adapter"] == version.arn and row["value"] is not None}
    labels = [*version.labels, None, *sorted(others - {*version.labels, None})]
    for label in labels:
        for measure in (PRECISION, MISSED):
            mine = [row for row in rows if (row["label"], row["measure"]) == (label, measure)]
            found = _best([row for row in mine if row["adapter"] == version.arn])
            if label not in {*version.labels, None} and (found is None or found["n"] < needed):
                continue
            threshold = found["threshold"] if found else None
            before = [row for row in mine if row["adapter"] == old and threshold in {None, row["threshold"]}]
            yield label, measure, _measured(_best(before), needed), _measured(found, needed)


def _best(rows: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Of several models and thresholds the latest of which there are numbers: they are never pooled."""
    return max(
        rows,
        key=lambda row: (
            row["value"] is not None,
            row["last_week"] or "",
            row["n"] or 0,
            row["threshold"] or 0,
        ),
        default=None,
    )


def _measured(row: dict[str, Any] | None, needed: int) -> Measured:
    if row is None:
        return Measured(reason=f"{NOT_YET}: 0 of {needed} decided images; it has answered none")
    n = row["n"] or 0
    about = {"n": n, "k": row["k"] or 0, "model_version": row["model_version"], "threshold": row["threshold"]}
    if row["value"] is None:
        return Measured(**about, reason=f"{NOT_YET}: {n} of {needed} decided images; {row['reason']}")
    if n < needed:
        return Measured(**about, reason=f"{NOT_YET}: {n} of {needed} decided images")
    share = {name: row[name] for name in ("value", "low", "high")}
    return Measured(**about, **share, population=row["population"] or "")


def _outcome(measure: str, old: Measured, new: Measured, limit: float) -> str:
    if None in {old.value, old.low, old.high, new.value, new.low, new.high}:
        return NOT_YET
    bad, good = (old, new) if measure == MISSED else (new, old)
    return WORSE if _chance_of(good, bad) < limit else NOT_SHOWN


def _chance_of(larger: Measured, smaller: Measured) -> float:
    """How likely chance alone makes one share so much larger than the other.

    From the halves of their intervals that face each other, as in MOVER (Zou and Donner 2008).
    """
    assert larger.value is not None and larger.low is not None  # noqa: S101, PT018 - looked at before
    assert smaller.value is not None and smaller.high is not None  # noqa: S101, PT018
    spread = math.hypot(larger.value - larger.low, smaller.high - smaller.value) / _Z95
    difference = larger.value - smaller.value
    if difference <= 0:
        return 1.0
    return NormalDist().cdf(-difference / spread) if spread else 0.0
