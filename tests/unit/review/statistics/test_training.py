from __future__ import annotations

from typing import Any

import pytest

from moderation.review.statistics.counts import counts
from moderation.review.statistics.training import Needed, toward
from support.judged_rows import draw, frames, judged


def lacking(wrong: int, missed: int, **how: Any) -> dict[str, Any]:
    rows = [judged(f"w{i}", "absent", 55, draw="q1:1") for i in range(wrong)]
    rows += [judged(f"r{i}", "present", 95, draw="q1:1") for i in range(20)]
    rows += [judged(f"m{i}", "present", draw="q2:1", stratum="20-50") for i in range(missed)]
    rows += [judged(f"n{i}", "absent", draw="q2:1", stratum="20-50") for i in range(100 - missed)]
    of = frames(rows, [draw("q1:1", 1_000), draw("q2:1", 1_000, "20-50")])
    (one,) = toward(
        of, [row for row in counts(of) if row["load_id"] is row["week"] is row["content_type"] is None], **how
    )
    return one


def test_what_training_lacks_is_told_with_the_queue_that_gets_there_fastest():
    one = lacking(14, 3, seconds=9)
    assert (one["false_positives"], one["false_positives_needed"], one["enough"]) == (14, 20, False)
    assert (one["false_negatives"], one["false_negatives_needed"]) == (3, 50)
    assert (one["queue"]["finds"], one["queue"]["low"], one["queue"]["high"]) == ("false_positives", 50, 60)
    assert one["images"] == 7  # 6 more, 14.5 of 15 are wrong there
    assert one["hours"] == pytest.approx(7 * 9 / 3600)


def test_enough_of_one_kind_is_enough_unless_both_are_asked_for():
    assert lacking(20, 0)["enough"]
    one = lacking(20, 10, needed=Needed(both=True))
    assert not one["enough"]
    assert one["queue"]["stratum"] == "20-50"
