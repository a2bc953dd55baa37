"""Shares with their intervals, over thresholds and over weeks."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from markupsafe import Markup

from moderation.report.page import wording
from moderation.report.page.charts import draw
from moderation.review.statistics.rates import in_words

_BAND = {
    "type": "rule",
    "strokeWidth": 5,
    "opacity": 0.3,
    "strokeCap": "round",
    "encoding": {
        "y": {"field": "low", "type": "quantitative"},
        "y2": {"field": "high"},
    },
}


def by_threshold(rows: Sequence[dict[str, Any]], *, colour: str, width: int, height: int) -> Markup:
    """A share at each threshold, with its interval.

    :param rows: numbers that have a value, of one label and measure.
    :param colour: a variable of the page's style sheet.
    """
    points = [
        {
            "x": row["threshold"],
            "y": 100 * row["value"],
            "low": 100 * row["low"],
            "high": 100 * row["high"],
            "told": f"from {row['threshold']:g}%: {in_words(row)}",
        }
        for row in sorted(rows, key=lambda row: row["threshold"])
    ]
    low = min(point["x"] for point in points)
    x = {
        "field": "x",
        "type": "quantitative",
        "scale": {"domain": [low, 100], "nice": False},
        "axis": {"labelExpr": "datum.value + '%'", "tickCount": 4},
    }
    return _shares(points, x, colour=colour, width=width, height=height)


def by_week(rows: Sequence[dict[str, Any]], *, colour: str, width: int, height: int) -> Markup:
    """A share of each week, with its interval."""
    points = [
        {
            "x": row["week"],
            "y": 100 * row["value"],
            "low": 100 * row["low"],
            "high": 100 * row["high"],
            "told": f"Week of {wording.day(date.fromisoformat(row['week']))}: {in_words(row)}",
        }
        for row in sorted(rows, key=lambda row: row["week"])
    ]
    x = {"field": "x", "type": "ordinal", "axis": {"labelAngle": 0, "labelOverlap": True}}
    return _shares(points, x, colour=colour, width=width, height=height)


def _shares(
    points: list[dict[str, Any]], x: dict[str, Any], *, colour: str, width: int, height: int
) -> Markup:
    y = {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": [0, 100], "nice": False},
        "axis": {"labelExpr": "datum.value + '%'", "values": [0, 25, 50, 75, 100]},
    }
    line = {
        "type": "line",
        "color": colour,
        "strokeWidth": 1.75,
        "point": {"size": 26, "color": colour, "filled": True, "opacity": 1},
    }
    return draw(points, [_BAND | {"color": colour}, line], {"x": x, "y": y}, width=width, height=height)
