from __future__ import annotations

from datetime import UTC, datetime

from moderation.publish import standing
from moderation.publish.review_numbers import publish_numbers
from moderation.review.statistics.numbers import numbers
from moderation.settings import Settings
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.published import scan
from moderation.tables.standing import REVIEW_NUMBERS
from support.judged_rows import draw, frames, judged, population
from support.killed import killed_at


def seen(settings: Settings) -> list[tuple[str, float]]:
    with open_catalog(settings) as catalog:
        batches = list(scan(load_table(catalog, REVIEW_NUMBERS), REVIEW_NUMBERS, ["dt", "measure", "value"]))
    rows = [row for batch in batches for row in batch.to_pylist() if row["measure"] == "tp"]
    return sorted({(str(row["dt"]), row["value"]) for row in rows})


def test_a_days_numbers_are_replaced_by_that_days_later_ones_also_after_a_kill(
    local_settings: Settings,
) -> None:
    def told(day: int, right: int):
        rows = [judged(f"c{i}", "present", 90, draw="q:1") for i in range(right)]
        of = frames(rows, [draw("q:1", 100)], [population(100, 100)])
        return numbers(of, now=datetime(2026, 11, day, tzinfo=UTC))

    assert publish_numbers(local_settings, told(27, 3)) == []
    publish_numbers(local_settings, told(28, 4))
    with killed_at("listed", standing):
        publish_numbers(local_settings, told(28, 5))
    publish_numbers(local_settings, told(28, 5))
    assert seen(local_settings) == [("2026-11-27", 3), ("2026-11-28", 5)]
