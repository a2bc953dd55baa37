from __future__ import annotations

from typing import Any

import pytest

from moderation.review.statistics.drift import left_interval
from moderation.review.statistics.numbers import numbers
from support.judged_rows import draw, frames, judged, population


def week(day: str, right: int, n: int) -> list[dict[str, Any]]:
    name = f"q:{day}"
    return [
        judged(f"{day}-{i}", "present" if i < right else "absent", 90, draw=name, week=day, load_id=day)
        for i in range(n)
    ]


@pytest.mark.parametrize(("right", "left"), [(60, 1), (85, 0), (90, 0)])
def test_precision_that_leaves_its_interval_is_told(right, left):
    days = ("2026-11-16", "2026-11-23")
    rows = week(days[0], 90, 100) + week(days[1], right, 100)
    of = frames(
        rows,
        [draw(f"q:{day}", 1_000, load_id=day) for day in days],
        [population(9_000, 1_000, load_id=day, week=day) for day in days],
    )
    found = left_interval(numbers(of).rows.to_pylist())
    assert len(found) == left
    for one in found:
        assert str(one).startswith("precision of Violence fell: ")
