"""An adapter in use beside what it replaced: told where people decided enough, and never pooled."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from moderation.adapters.after import production
from moderation.adapters.after.production import Production
from moderation.adapters.registry import PROMOTED, ROLLED_BACK, Event, Registry, Version
from moderation.review.statistics.intervals import Estimates, total
from moderation.review.statistics.numbers import NUMBERS, Numbers
from moderation.variables.adapters import AdapterSettings

NEW, OLD = "arn:new", "arn:old"
NOTHING = dict.fromkeys(("value", "low", "high", "n", "k")) | {"reason": "nothing was drawn"}
RULE = AdapterSettings()


def version(arn: str = NEW) -> Version:
    return Version(arn=arn, project="cards", labels=("Gambling",), set_uri="s3://w/set")


def event(arn: str, action: str = PROMOTED, champion: str | None = None) -> Event:
    after = arn if action == PROMOTED else champion
    return Event(at="2026-11-22T12:00:00+00:00", person="anna", action=action, version=arn, champion=after)


def registry(*events: Event) -> Registry:
    return Registry(versions={arn: version(arn) for arn in (NEW, OLD)}, events=events)


@cache
def shares(n: int) -> Estimates:
    """Those of 0 to n of n that were drawn from a large population."""
    drawn = np.full((n + 1, 1), float(n))
    return total(np.full((n + 1, 1), 1e6), drawn, np.arange(n + 1.0)[:, None]).shares(np.full(n + 1, 1e6))


def row(adapter: str | None, k: int, n: int, label: str | None = "Gambling", **given: Any) -> dict[str, Any]:
    """Precision, as the numbers tell it of a random draw."""
    share = shares(n)
    told = {"measure": "precision", "label": label, "adapter": adapter, "threshold": 50.0, "level": 1}
    told |= {"value": float(share.value[k]), "low": float(share.low[k]), "high": float(share.high[k])}
    told |= {"k": k, "n": n, "model_version": "7.0", "last_week": "2026-11-23", "population": "all"}
    return told | given


def compared(*rows: dict[str, Any], events: tuple[Event, ...] = (event(NEW),), rule: AdapterSettings = RULE):
    stamp = {"computed_at": 0, "dt": 0}
    numbers = Numbers(pa.Table.from_pylist([stamp | one for one in rows], schema=NUMBERS))
    return production.compare(registry(*events), version(), numbers, rule)


def gambling(found: Production | None, measure: str = "precision") -> production.Beside:
    assert found is not None
    return next(one for one in found.rows if (one.label, one.measure) == ("Gambling", measure))


def test_an_adapter_that_was_never_promoted_has_no_production() -> None:
    assert compared(row(NEW, 9, 90), events=()) is None


def test_a_worse_one_is_suggested_to_be_rolled_back_and_only_while_it_is_in_use() -> None:
    rows = row(None, 90, 100), row(NEW, 50, 100)
    found = compared(*rows)
    assert gambling(found).outcome == "worse"
    assert "roll it back" in found.suggestion
    assert "50.0%" in found.suggestion
    assert "90.0%" in found.suggestion
    gone = compared(*rows, events=(event(NEW), event(NEW, ROLLED_BACK)))
    assert (gambling(gone).outcome, gone.suggestion) == ("worse", None)
    assert compared(row(None, 50, 100), row(NEW, 90, 100)).suggestion is None


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ((), "not measurable yet: 0 of 30 decided images; it has answered none"),
        ((row(NEW, 1, 29),), "not measurable yet: 29 of 30 decided images"),
        (
            (row(NEW, 0, 1) | NOTHING,),
            "not measurable yet: 0 of 30 decided images; nothing was drawn",
        ),
    ],
)
def test_what_the_data_cannot_bear_is_not_told(rows: Any, told: str) -> None:
    found = gambling(compared(*rows, row(None, 90, 100)))
    assert (found.new.value, found.new.text, found.outcome) == (None, told, "not measurable yet")


@pytest.mark.parametrize("other", [{"adapter": None}, {"adapter": OLD}])
def test_it_stands_beside_what_it_replaced_and_nothing_else(other: dict[str, Any]) -> None:
    rows = row(None, 40, 100), row(OLD, 60, 100), row(NEW, 80, 100)
    events = (event(NEW),) if other["adapter"] is None else (event(OLD), event(NEW), event(NEW))
    found = compared(*rows, events=events)
    assert found.old == other["adapter"]
    assert gambling(found).old.k == (40 if other["adapter"] is None else 60)


def test_other_thresholds_and_models_are_not_pooled() -> None:
    later = row(None, 99, 100, model_version="7.1", last_week="2026-11-30")
    found = gambling(
        compared(row(NEW, 50, 100), row(None, 90, 100), later, row(None, 1, 900, threshold=80.0))
    )
    assert (found.old.k, found.old.n, found.old.model_version) == (99, 100, "7.1")
    alone = gambling(compared(row(NEW, 50, 100), row(None, 1, 900, threshold=80.0)))
    assert alone.outcome == "not measurable yet"


def test_another_label_that_became_worse_counts_too() -> None:
    rows = row(NEW, 40, 100, label="Weapons"), row(None, 95, 100, label="Weapons")
    assert "Weapons, precision" in compared(*rows).suggestion


def test_two_models_that_are_alike_are_seldom_told_apart() -> None:
    """Nominal are 5 % over ten labels together; exactly 2.4 % at most would be expected here."""
    chance = np.random.default_rng(7)
    labels = ["Gambling", *(f"label {number}" for number in range(9))]

    def suggested(old: float, new: float, runs: int) -> int:
        number = 0
        for _ in range(runs):
            drawn = [(arn, share, label) for label in labels for arn, share in ((None, old), (NEW, new))]
            rows = [row(arn, int(chance.binomial(60, share)), 60, label) for arn, share, label in drawn]
            number += compared(*rows).suggestion is not None
        return number

    assert max(suggested(share, share, 200) for share in (0.5, 0.9)) <= 10
    assert suggested(0.8, 0.5, 20) >= 18
