from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from moderation.archive.backfill.state import Options
from moderation.archive.estimate import estimate
from moderation.archive.schedule import Beside
from moderation.archive.survey import Survey
from moderation.settings import Settings

SETTINGS = replace(Settings.from_env({}), region="us-east-1")
SURVEY = Survey(
    source="s3://archive/photos",
    listed=3_000_010,
    no_images={"*.txt": 4},
    already_moderated=3,
    refused_before={"InvalidImageFormat": 2},
    cannot_be_sent={"ImageTooLarge": 1},
    to_analyse=3_000_000,
    contents=2_400_000,
    size_bytes=10**12,
)


def made(settings=SETTINGS, survey=SURVEY, rehearse=None):
    return estimate(
        settings,
        survey,
        beside=Beside(this_month=10, a_day=5.0),
        now=datetime(2026, 11, 29, tzinfo=UTC),
        adapter=None,
        calls_by="a test",
        rehearse=rehearse,
    )


@pytest.mark.parametrize(("share", "paid", "jobs"), [(True, 2_400_000, 240), (False, 3_000_000, 300)])
def test_copies_are_paid_for_where_answers_are_not_shared(share, paid, jobs):
    found = made(replace(SETTINGS, share_answers=share))
    assert (found.paid, found.jobs) == (paid, jobs)
    assert sum(month.images for month in found.fastest.months) == paid


@pytest.mark.parametrize(("backend", "chosen"), [("auto", "bulk"), ("bulk", "bulk"), ("detect", "detect")])
def test_a_dry_run_goes_at_the_pace_of_the_backend_that_is_asked_for(backend, chosen):
    run = made(rehearse=Options(backend=backend)).dry_run
    assert run is not None
    assert run.backend == chosen


def test_where_there_are_no_bulk_jobs_it_goes_by_single_calls():
    run = made(replace(SETTINGS, region="ca-central-1"), rehearse=Options()).dry_run
    assert run is not None
    assert run.backend == "detect"


def test_programs_get_all_of_it_as_json():
    told = json.loads(json.dumps(made(rehearse=Options()).record(), default=str))
    assert told["survey"]["cannot_be_sent"] == {"ImageTooLarge": 1}
    assert len(told["ways"]) == 9
    assert [chunk["images"] for chunk in told["dry_run"]["chunks"]] == [1_000_000] * 3
