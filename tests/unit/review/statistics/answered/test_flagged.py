"""A content is flagged with what its own answer lists at the threshold in use."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from moderation.review.statistics.answered.flagged import LISTED, Flagged

LABELS = pa.table(
    {
        "label": ["Violence", "Weapons"],
        "level": pa.array([1, 2], pa.int32()),
        "threshold_wanted": [None, 80.0],
    }
)
ANSWERS = pa.table({"load_id": ["first", "second", "third"], "min_confidence": [50.0, 60.0, 50.0]})
ANSWERED = pa.table({"n": [20, 10, 30], "answer": [1, 0, 0], "copies": [5, 1, 2]})
UNKNOWN = -1


def counted(listed: list[tuple[int, int, float]]) -> dict[tuple[Any, ...], tuple[int, int]]:
    counts = Flagged(ANSWERS, LABELS)
    columns = zip(*listed, strict=True) if listed else ((), (), ())
    batch = pa.record_batch(
        [pa.array(one, kind.type) for one, kind in zip(columns, LISTED, strict=True)], LISTED
    )
    counts.add(ANSWERED, [batch])
    told = counts.told(55.0).to_pylist()
    assert {(row["load_id"], row["contents"], row["copies"]) for row in told} == {
        ("first", 2, 3),
        ("second", 1, 5),
    }
    return {
        (row["load_id"], row["label"]): (row["flagged"], row["flagged_copies"])
        for row in told
        if row["flagged"]
    }


@pytest.mark.parametrize(
    ("listed", "wanted"),
    [
        ([], {}),
        ([(10, 0, 50.0)], {("first", "Violence"): (1, 1), ("first", None): (1, 1)}),
        ([(20, 0, 59.9)], {}),
        ([(10, 1, 79.9), (30, 1, 80.0)], {("first", "Weapons"): (1, 2), ("first", None): (1, 2)}),
        ([(20, 0, 70.0), (20, 0, 90.0)], {("second", "Violence"): (1, 5), ("second", None): (1, 5)}),
        ([(20, UNKNOWN, 70.0)], {("second", None): (1, 5)}),
        ([(11, 0, 99.0), (99, 0, 99.0), (1, 0, 99.0)], {}),
    ],
    ids=[
        "nothing",
        "as asked",
        "below",
        "own threshold",
        "twice",
        "unknown label",
        "answers that do not count",
    ],
)
def test_a_content_is_flagged_at_the_threshold_in_use(listed, wanted):
    assert counted(listed) == wanted


def test_each_label_and_the_image_as_a_whole_tell_their_threshold():
    counts = Flagged(ANSWERS, LABELS)
    counts.add(ANSWERED, [])
    found = {
        (row["load_id"], row["label"], row["level"], row["threshold"])
        for row in counts.told(55.0).to_pylist()
    }
    assert found == {
        ("first", "Violence", 1, 50.0),
        ("first", "Weapons", 2, 80.0),
        ("first", None, 0, 55.0),
        ("second", "Violence", 1, 60.0),
        ("second", "Weapons", 2, 80.0),
        ("second", None, 0, 60.0),
    }
