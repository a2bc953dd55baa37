"""A dry run keeps the conductor's rules: budgets, two chunks at a time, and the months of the price steps."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from moderation.archive.backfill.conductor import MOST_AT_ONCE
from moderation.archive.backfill.state import ArchiveError, Options
from moderation.archive.dry_run import MOST_CHUNKS, dry_run
from moderation.archive.schedule import Beside, CannotBePlannedError, ways
from moderation.settings import Settings

SETTINGS = replace(Settings.from_env({}), region="us-east-1")
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def run(images, *, paid=None, pace=200.0, now=NOW, this_month=0, a_day=0.0, **options):
    return dry_run(
        SETTINGS,
        images=images,
        paid=images if paid is None else paid,
        options=Options(**options),
        backend="bulk",
        pace=pace,
        beside=Beside(this_month=this_month, a_day=a_day),
        now=now,
    )


def test_every_image_is_in_one_chunk_and_never_more_are_under_way_than_the_conductor_allows():
    found = run(7_300_000)
    assert [chunk.images for chunk in found.chunks] == [1_000_000] * 7 + [300_000]
    assert found.waited == {}
    for chunk in found.chunks:
        beside = [one for one in found.chunks if one.begins < chunk.ends and one.ends > chunk.begins]
        assert len(beside) <= MOST_AT_ONCE + 1  # at one moment; the third follows the one that ended
    assert all(before.begins <= after.begins for before, after in pairwise(found.chunks))


@pytest.mark.parametrize("this_month", [0, 950_000, 5_000_000])
def test_without_a_budget_it_ends_and_costs_as_the_schedule_says(this_month):
    found = run(5_000_000, paid=4_000_000, this_month=this_month)
    (way,) = (
        way
        for way in ways(SETTINGS, 4_000_000, adapter=None, now=NOW, beside=Beside(this_month=this_month))
        if way.backend == "bulk" and way.begins == NOW
    )
    assert abs(found.ends - way.ends) < timedelta(minutes=1)
    assert found.cost_usd == pytest.approx(float(way.cost_usd))
    assert sum(chunk.paid for chunk in found.chunks) == 4_000_000


def test_no_day_costs_more_than_its_budget_in_its_own_time_zone():
    found = run(6_000_000, day_usd=1_700.0, time_zone="Europe/Vienna")
    zone = Options(time_zone="Europe/Vienna").zone()
    days: dict[object, float] = {}
    for chunk in found.chunks:
        day = chunk.begins.astimezone(zone).date()
        days[day] = days.get(day, 0.0) + chunk.cost_usd
    assert max(days.values()) <= 1_700.0
    assert found.waited.keys() == {"budget of the day"}
    assert any(chunk.begins.astimezone(zone).hour == 0 for chunk in found.chunks)


def test_a_month_whose_budget_is_spent_waits_for_the_next():
    found = run(4_000_000, month_usd=2_500.0, now=datetime(2026, 11, 2, tzinfo=UTC))
    assert {f"{chunk.begins:%Y-%m}" for chunk in found.chunks} == {"2026-11", "2026-12"}
    assert found.waited["budget of the month"] > 20


def test_the_nightly_runs_fill_the_price_steps_before_it():
    assert run(1_000_000, this_month=1_000_000).cost_usd == pytest.approx(800)
    assert run(1_000_000).cost_usd == pytest.approx(1_000)


def test_a_chunk_that_no_budget_lets_begin_is_refused_as_archive_start_refuses_it():
    with pytest.raises(ArchiveError, match="--chunk-images"):
        run(2_000_000, day_usd=10.0)


def test_more_chunks_than_anybody_reads_are_refused_with_the_size_that_fits():
    with pytest.raises(CannotBePlannedError, match=r"--chunk-images 2 "):
        run(2 * MOST_CHUNKS, chunk_images=1)


def test_what_takes_longer_than_ten_years_is_no_plan():
    with pytest.raises(CannotBePlannedError, match="ten years"):
        run(1_000_000, pace=0.001)


def test_nothing_to_analyse_needs_no_chunk():
    assert run(0).chunks == ()
