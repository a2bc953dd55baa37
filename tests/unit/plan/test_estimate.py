from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from moderation.plan.estimate import estimate
from moderation.settings import Settings

SETTINGS = Settings.from_env({"MODERATION_BULK_JOB_IMAGES_PER_SECOND": "10"})


def test_single_calls_take_the_images_over_the_quota():
    assert estimate(SETTINGS, manifest_lines=[1000, 500], adapter=None).detect_seconds == 30
    elsewhere = replace(SETTINGS, region="eu-central-1")
    assert estimate(elsewhere, manifest_lines=[1000, 500], adapter=None).detect_seconds == 300
    own_quota = replace(SETTINGS, detect_tps=100)
    assert estimate(own_quota, manifest_lines=[1000, 500], adapter=None).detect_seconds == 15


def test_jobs_run_side_by_side_up_to_the_quota():
    two_at_once = replace(SETTINGS, bulk_concurrent_jobs=2)

    assert estimate(two_at_once, manifest_lines=[100, 100, 100], adapter=None).bulk_seconds == 20
    assert estimate(SETTINGS, manifest_lines=[100, 100, 100], adapter=None).bulk_seconds == 10
    assert estimate(SETTINGS, manifest_lines=[], adapter=None).bulk_seconds == 0


def test_a_region_without_jobs_has_no_time_for_them():
    assert (
        estimate(replace(SETTINGS, region="sa-east-1"), manifest_lines=[1], adapter=None).bulk_seconds is None
    )


def test_an_adapters_answers_have_their_own_price():
    assert estimate(SETTINGS, manifest_lines=[1000], adapter=None).cost_usd == Decimal(1)
    assert estimate(SETTINGS, manifest_lines=[1000], adapter="arn").cost_usd == Decimal("1.2")
