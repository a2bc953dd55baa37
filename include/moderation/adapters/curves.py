"""What both models would do at other thresholds: the lines of a plot, on the same frozen images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

THRESHOLDS = tuple(range(5, 100, 5))
"""Percent; both answers of AWS's manifest are asked from 5 on."""


class Pair(NamedTuple):
    """A test image about which people decided: whether it is there, and both confidences, 0 for none."""

    truth: bool
    base: float
    adapter: float


def curve(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """A point a threshold: of each model how many images it finds, and how many others it flags."""
    return [
        {
            "threshold": threshold,
            "positives": sum(pair.truth for pair in pairs),
            "others": sum(not pair.truth for pair in pairs),
            "base": _counts((pair.truth, pair.base >= threshold) for pair in pairs),
            "adapter": _counts((pair.truth, pair.adapter >= threshold) for pair in pairs),
        }
        for threshold in THRESHOLDS
    ]


def _counts(told: Any) -> dict[str, int]:
    flagged = [truth for truth, is_flagged in told if is_flagged]
    return {"found": sum(flagged), "false_alarms": len(flagged) - sum(flagged)}
