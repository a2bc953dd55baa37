from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from moderation.archive.backfill import orders, state
from moderation.archive.backfill.state import DONE, ENDED, ArchiveError, Options
from moderation.settings import Settings
from support.archives import half_done, keep
from support.fake_s3 import FakeS3

SETTINGS = replace(Settings.from_env({}), work_uri="s3://work")


@pytest.fixture
def s3() -> FakeS3:
    made = FakeS3()
    keep(SETTINGS, made, replace(half_done(), options=Options(day_usd=1000.0, month_usd=5000.0)))
    return made


@pytest.mark.parametrize(
    ("asked", "day", "month"),
    [
        ({"day_usd": 2000.0}, 2000.0, 5000.0),
        ({"day_usd": None}, None, 5000.0),
        ({"month_usd": 9000.0, "day_usd": 900.0}, 900.0, 9000.0),
    ],
)
def test_the_budget_of_an_archive_under_way_is_changed_and_who_did_it_stands_there(
    s3: FakeS3, asked: dict[str, float | None], day: float | None, month: float | None
) -> None:
    orders.budget(SETTINGS, s3, "old", **asked, person="ana")
    found = state.read(SETTINGS, s3, "old")
    assert (found.options.day_usd, found.options.month_usd) == (day, month)
    assert found.waits == ""
    assert found.orders[-1]["person"] == "ana"
    assert found.orders[-1]["what"].startswith("budget of the ")


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({}, "say a budget"),
        ({"day_usd": 0.0}, "day_usd=0.0: expected US dollars above 0"),
        ({"day_usd": float("nan")}, "day_usd=nan"),
        ({"day_usd": 0.01}, "none would ever begin; say a larger budget"),
    ],
)
def test_a_budget_that_is_none_or_lets_nothing_begin_changes_nothing(
    s3: FakeS3, asked: dict[str, Any], says: str
) -> None:
    before = state.read(SETTINGS, s3, "old")
    with pytest.raises(ArchiveError, match=says):
        orders.budget(SETTINGS, s3, "old", **asked)
    assert state.read(SETTINGS, s3, "old") == before


def test_an_archive_that_has_ended_gets_no_other_budget(s3: FakeS3) -> None:
    def end(archive: state.Archive) -> state.Archive:
        return replace(
            archive, status=ENDED, chunks=tuple(replace(chunk, status=DONE) for chunk in archive.chunks)
        )

    state.change(SETTINGS, s3, "old", end)
    with pytest.raises(ArchiveError, match="has ended"):
        orders.budget(SETTINGS, s3, "old", day_usd=9000.0)
