from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise

import pytest

from moderation.archive.schedule import Beside, CannotBePlannedError, cheapest, fastest, ways
from moderation.reference import prices
from moderation.reference.prices import PriceTier
from moderation.settings import Settings

SETTINGS = replace(Settings.from_env({}), region="us-east-1", bulk_job_images_per_second=20.0)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)


def planned(images, *, settings=SETTINGS, adapter=None, now=NOW, **beside):
    return ways(settings, images, adapter=adapter, now=now, beside=Beside(**beside))


def test_every_image_falls_into_one_month_and_the_months_follow_each_other():
    for way in planned(1_000_000_000):
        assert sum(month.images for month in way.months) == 1_000_000_000
        assert way.months[0].month == f"{way.begins:%Y-%m}"
        assert all(before.month < after.month for before, after in pairwise(way.months))
        assert way.months[-1].month == f"{way.ends:%Y-%m}"


def test_a_months_images_cost_what_they_add_to_its_bill():
    (way, *_) = [
        way for way in planned(2_000_000, this_month=900_000, a_day=100_000) if way.backend == "bulk"
    ]

    november = 2.5 * 100_000
    assert way.months[0].month == "2026-11"
    assert way.months[0].cost_usd == (
        prices.cost_usd(int(november) + way.months[0].images, already_this_month=900_000)
        - prices.cost_usd(int(november), already_this_month=900_000)
    )


def test_images_of_one_month_are_cheaper_than_the_same_in_two():
    found = planned(200_000_000)
    quick, cheap = fastest(found), cheapest(found)
    assert quick.begins == NOW
    assert cheap.begins == datetime(2026, 12, 1, tzinfo=UTC)
    assert cheap.cost_usd < quick.cost_usd
    assert quick.ends < cheap.ends


def test_both_backends_together_are_the_fastest():
    found = [way for way in planned(10_000_000) if way.begins == NOW]
    assert [way.backend for way in found] == ["bulk", "detect", "both"]
    assert [way.images_per_second for way in found] == [400, 50, 450]
    assert fastest(found).backend == "both"


def test_nightly_runs_take_their_part_of_the_quotas():
    (way,) = {way.images_per_second for way in planned(1, a_day=86_400 * 10) if way.backend == "detect"}
    assert way == pytest.approx(40)


def test_a_region_without_bulk_jobs_has_single_calls_only():
    found = planned(1000, settings=replace(SETTINGS, region="ca-central-1"))
    assert {way.backend for way in found} == {"detect"}
    assert {way.images_per_second for way in found} == {5}


def test_an_adapter_has_prices_of_its_own():
    settings = replace(SETTINGS, adapter_price_tiers=(PriceTier(None, Decimal("0.5")),))
    arn = "arn:aws:rekognition:us-east-1:1:project/p/version/v/1"
    assert {way.cost_usd for way in planned(10, settings=settings, adapter=arn)} == {Decimal(5)}


def test_nothing_to_analyse_costs_nothing_and_takes_no_time():
    way = fastest(planned(0))
    assert (way.cost_usd, way.months, way.ends) == (0, (), NOW)


@pytest.mark.parametrize(("images", "beside"), [(1, {"a_day": 1e9}), (10**13, {})])
def test_what_cannot_be_done_is_said(images, beside):
    with pytest.raises(CannotBePlannedError, match=r"quotas allow|hundred years"):
        planned(images, settings=replace(SETTINGS, region="ca-central-1"), **beside)
