from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from moderation.archive.backfill.forecast import Month, forecast
from moderation.archive.backfill.state import (
    DONE,
    ENDED,
    PARKED,
    PAUSED,
    RUNNING,
    STOPPED,
    WAITING,
    Archive,
    Chunk,
    Options,
)
from moderation.reference.prices import PriceTier
from moderation.settings import Settings

SETTINGS = replace(
    Settings.from_env({}),
    price_tiers=(PriceTier(1_000, Decimal("0.01")), PriceTier(None, Decimal("0.001"))),
)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
DAY = 86_400


def archive(*statuses: str, status: str = "running", **options: Any) -> Archive:
    ended = {"ended_at": "2026-11-20T00:00:00+00:00", "billed": 100, "cost_usd": 1.0}
    return Archive(
        name="old",
        source="s3://archive/photos",
        status=status,
        options=Options(chunk_images=100, **options),
        chunks=tuple(
            Chunk(
                number=number,
                uri="",
                images=100,
                first="",
                last="",
                status=found,
                **(ended if found in {DONE, PARKED} else {}),  # type: ignore[arg-type]
            )
            for number, found in enumerate(statuses, start=1)
        ),
    )


def months(found: Archive, pace: float) -> dict[str, tuple[float, int, float]]:
    told = forecast(SETTINGS, found, pace=pace, now=NOW).months
    return {month.month: (month.paid_usd, month.to_come, month.to_come_usd) for month in told}


def test_what_is_to_come_falls_into_the_months_that_its_pace_reaches_each_with_its_own_price_steps() -> None:
    # 2.5 days of November are left; the first steps of each month's prices are the dear ones.
    found = archive(*[DONE] * 9, *[WAITING] * 15)
    assert months(found, 300 / DAY) == {
        "2026-11": (9.0, 750, pytest.approx(100 * 0.01 + 650 * 0.001)),
        "2026-12": (0.0, 750, pytest.approx(7.5)),
    }
    assert forecast(SETTINGS, found, pace=300 / DAY, now=NOW).ends == datetime(2026, 12, 3, 12, tzinfo=UTC)


def test_a_budget_of_the_day_lets_whole_chunks_begin_and_no_part_of_one() -> None:
    told = forecast(SETTINGS, archive(*[WAITING] * 5, day_usd=1.5), pace=1.0, now=NOW)
    assert told.months[0] == Month(month="2026-11", billed=0, paid_usd=0, to_come=300, to_come_usd=3.0)
    assert told.months[1].to_come == 200
    assert told.ends
    assert told.ends.date() == datetime(2026, 12, 2, tzinfo=UTC).date()


def test_a_budget_of_the_month_counts_what_the_month_has_paid_in_the_archives_zone() -> None:
    late = {"ended_at": "2026-10-31T23:30:00+00:00"}
    for zone, left in (("UTC", 300), ("Europe/Vienna", 200)):
        found = archive(DONE, *[WAITING] * 3, month_usd=3.0, time_zone=zone)
        found = found.with_chunk(replace(found.chunks[0], **late))
        told = {month.month: month.to_come for month in forecast(SETTINGS, found, pace=1.0, now=NOW).months}
        assert told.get("2026-11", 0) == left, zone


@pytest.mark.parametrize(
    ("status", "chunks", "to_come"),
    [
        ("running", (DONE, PARKED, RUNNING, WAITING), 200),
        (PAUSED, (DONE, RUNNING, WAITING), 200),
        (STOPPED, (DONE, RUNNING, WAITING), 100),
        (ENDED, (DONE, PARKED), 0),
    ],
)
def test_parked_chunks_and_those_that_a_stop_leaves_are_not_to_come(
    status: str, chunks: tuple[str, ...], to_come: int
) -> None:
    told = forecast(SETTINGS, archive(*chunks, status=status), pace=1.0, now=NOW)
    assert sum(month.to_come for month in told.months) == to_come
    assert (told.ends is None) is (to_come == 0)


def test_a_pause_begins_the_rest_when_it_ends() -> None:
    paused = replace(archive(WAITING, status=PAUSED), paused_until="2027-01-10T00:00:00+00:00")
    assert list(months(paused, 1.0)) == ["2027-01"]


def test_what_no_end_is_in_sight_of_has_none() -> None:
    assert forecast(SETTINGS, archive(WAITING, day_usd=0.5), pace=1.0, now=NOW).ends is None
