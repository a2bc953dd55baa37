"""When a label's precision leaves the interval that it had."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moderation.review.statistics.counts import KEYS, SLICES


@dataclass(frozen=True)
class Left:
    """Precision that is not where it was: the intervals then and now have nothing in common.

    :param label: None for the image as a whole.
    :param before: low and high then.
    :param now: low and high now.
    """

    label: str | None
    model_version: str | None
    adapter: str | None
    threshold: float | None
    before: tuple[float, float]
    now: tuple[float, float]

    def __str__(self) -> str:
        fell = self.now[1] < self.before[0]
        return (
            f"precision of {self.label or 'any label'} {'fell' if fell else 'rose'}: "
            f"{self.now[0]:.1%} to {self.now[1]:.1%}, before {self.before[0]:.1%} to {self.before[1]:.1%} "
            f"(model {self.model_version}, {self.adapter or 'base'}, threshold {self.threshold:g})"
        )


def left_interval(rows: Iterable[Mapping[str, Any]]) -> list[Left]:
    """Labels whose precision in the latest week is not where it was in the weeks before.

    A later number within the earlier interval says nothing, nor does one whose own interval reaches into it:
    at two intervals of 95 % that do not meet, chance alone does this less than once in a hundred labels.

    :param rows: numbers, as `numbers.NUMBERS`.
    """
    weekly: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        others = [row[name] for name in SLICES if name not in {None, "week"}]
        if row["measure"] == "precision" and row["value"] is not None and row["week"] and not any(others):
            weekly.setdefault((row["label"], *(row[name] for name in KEYS)), []).append(row)
    found = []
    for key, weeks in weekly.items():
        *earlier, latest = sorted(weeks, key=lambda row: row["week"])
        if not earlier:
            continue
        # The best known of the earlier weeks: a week of three images tells little.
        before = min(earlier, key=lambda row: row["high"] - row["low"])
        if latest["high"] < before["low"] or latest["low"] > before["high"]:
            found.append(
                Left(
                    label=key[0],
                    **dict(zip(KEYS, key[1:], strict=True)),
                    before=(before["low"], before["high"]),
                    now=(latest["low"], latest["high"]),
                )
            )
    return found
