"""Thresholds of a comparison as the coordinates of two plots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

WIDTH, HEIGHT = 560, 220

_PLOTS = (
    ("Found", "of the images with it", "found", "positives"),
    ("False alarms", "of the images without it", "false_alarms", "others"),
)


def plots(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Both plots of a label; a plot of no image at all has no lines.

    :param points: see :func:`moderation.adapters.curves.curve`.
    """
    return [
        {
            "name": name,
            "of": of,
            "lines": [
                {"side": side, "line": _line(points, side, key, total)}
                for side in ("base", "adapter")
                if points and points[0][total]
            ],
            "rows": [
                {
                    "threshold": point["threshold"],
                    "total": point[total],
                    "base": point["base"][key],
                    "adapter": point["adapter"][key],
                }
                for point in points
            ],
        }
        for name, of, key, total in _PLOTS
    ]


def place(threshold: float) -> float:
    """Where a threshold stands."""
    return round(threshold / 100 * WIDTH, 1)


def _line(points: Sequence[Mapping[str, Any]], side: str, key: str, total: str) -> str:
    return " ".join(
        f"{place(point['threshold'])},{round((1 - point[side][key] / point[total]) * HEIGHT, 1)}"
        for point in points
    )
