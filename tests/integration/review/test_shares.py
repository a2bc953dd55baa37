"""The share of a job that is verified, followed from what is added to the log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from moderation.console.index.contents import number_of
from moderation.console.verify import share
from moderation.console.verify.share import Share, Shares
from moderation.review.state import tables
from support.said import said


class Contents:
    """Loads whose contents are known without files."""

    def __init__(self, **of: list[str]) -> None:
        self.of_load = of

    def of(self, loads: Any) -> dict[str, np.ndarray]:
        return {
            load["load_id"]: np.unique(
                np.array([number_of(content) for content in self.of_load[load["load_id"]]], np.uint64)
            )
            for load in loads
        }

    def loads(self) -> list[dict[str, Any]]:
        return [{"load_id": name, "images": len(some)} for name, some in self.of_load.items()]


def counted_anew(state: Any, contents: Contents) -> dict[str, Share]:
    stands = state.log.verified()
    return {name: Share(len(stands & set(some)), len(set(some))) for name, some in contents.of_load.items()}


@pytest.mark.parametrize("most", [1, 200])
def test_what_is_followed_row_by_row_equals_what_is_counted_anew(state, monkeypatch, most):
    monkeypatch.setattr(share, "_MOST_STEPS", most)
    contents = Contents(a=["c0", "c1", "c2"], b=["c1", "c1", "c3"], c=["c9"])
    shares = Shares(contents)
    first, second = said("present", content="c1"), said("nothing", None, content="c1", reviewer="bob")
    steps = [
        [],
        [said("skipped", None, content="c0"), said("note", None, content="c2", note="see")],
        [first],
        [second, said("unsure", None, content="c3")],
        [said("withdrawn", None, content="c1", replaces=first.verdict_id)],
        [said("withdrawn", None, content="c1", replaces=second.verdict_id, reviewer="bob")],
        [said("absent", content=f"c{number}") for number in range(12)],
    ]
    seen = []
    for rows in steps:
        state.log.append(rows)
        # A load that is looked at now and then is as right as one that is looked at always.
        asked = contents.loads() if len(seen) in {3, 6} else contents.loads()[:2]
        found = shares.of(state.log, asked)
        expected = counted_anew(state, contents)
        assert found == {load["load_id"]: expected[load["load_id"]] for load in asked}
        seen.append((found["a"].verified, found["b"].verified))
    assert seen == [(0, 0), (0, 0), (1, 1), (1, 2), (1, 2), (0, 1), (3, 2)]
    assert found["c"] == Share(1, 1)


def test_rows_that_came_late_and_rows_taken_out_are_counted_within_a_minute(state, monkeypatch):
    contents = Contents(a=["c0", "c1", "c2"])
    shares = Shares(contents)
    state.log.append([said("present", content="c0"), said("present", content="c1")])
    assert shares.of(state.log, contents.loads())["a"].verified == 2
    with state.database.write() as connection:
        connection.execute(
            sa.update(tables.verdicts).where(tables.verdicts.c.content == "c0").values(position=90)
        )
    state.log.append([said("present", content="c2")])
    monkeypatch.setattr(share, "_COUNT_SECONDS", 0.0)
    assert shares.of(state.log, contents.loads())["a"].verified == 3
    with state.database.write() as connection:
        connection.execute(sa.delete(tables.verdicts).where(tables.verdicts.c.content == "c1"))
    assert shares.of(state.log, contents.loads())["a"].verified == 2


def test_an_erasure_of_images_is_seen_by_the_number_of_those_left(state):
    contents = Contents(a=["c0", "c1"])
    shares = Shares(contents)
    state.log.append([said("present", content="c0"), said("present", content="c1")])
    assert shares.of(state.log, contents.loads())["a"] == Share(2, 2)
    contents.of_load["a"] = ["c1"]
    assert shares.of(state.log, contents.loads())["a"] == Share(1, 1)
