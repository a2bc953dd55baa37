"""Which manifests single calls take over, once AWS refuses bulk jobs in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from moderation.analyse import backend
from moderation.analyse.backend import Choice
from moderation.plan.request import BACKENDS
from moderation.settings import Settings
from support.fake_s3 import FakeS3
from support.planned_runs import make_manifest, make_plan

PLAN = make_plan([make_manifest(f"m{n}", f"s3://work/m{n}.jsonl") for n in range(4)], backend="auto")


class Denied(Exception):
    code = "AccessDeniedException"


class Throttled(Exception):
    code = "ThrottlingException"


def job(manifest: int, status: str) -> dict[str, Any]:
    where = {"S3Object": {"Bucket": "work", "Name": f"m{manifest}.jsonl"}}
    return {"JobId": f"job-{manifest}", "Status": status, "Input": where}


def taken_over(s3: FakeS3, list_jobs: Callable[[datetime], Iterable[Mapping[str, Any]]]) -> list[str]:
    """The first manifest's task has returned its job; then AWS closes bulk jobs."""
    client = boto3.client(
        "rekognition", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    with Stubber(client) as stubber:
        stubber.add_client_error("start_media_analysis_job", "AccessDeniedException", "no")
        found = backend.fall_back(
            PLAN,
            ["job-0"],
            settings=Settings(catalog_uri="glue", work_uri="s3://work"),
            s3=s3,
            rekognition=client,
            describe_job=lambda _: job(0, "SUCCEEDED"),
            list_jobs=list_jobs,
        )
    client.close()
    return [manifest.manifest_id for manifest in found]


def test_a_job_whose_task_died_is_not_paid_for_beside_single_calls() -> None:
    s3 = FakeS3()
    asked: list[datetime] = []

    def list_jobs(since: datetime) -> list[dict[str, Any]]:
        asked.append(since)
        return [job(1, "IN_PROGRESS"), job(2, "FAILED")]

    assert taken_over(s3, list_jobs) == ["m2", "m3"]
    assert asked == [datetime(2026, 11, 22, 1, tzinfo=UTC)]
    choice = backend.read_choice(PLAN, s3=s3)
    assert isinstance(choice, Choice)
    assert choice.detect == ("m2", "m3")


def test_an_account_that_may_not_even_list_jobs_goes_on_with_single_calls() -> None:
    def list_jobs(_: datetime) -> list[dict[str, Any]]:
        raise Denied("not authorized")

    assert taken_over(FakeS3(), list_jobs) == ["m1", "m2", "m3"]


def test_a_list_that_fails_for_another_reason_is_asked_again_before_anything_is_chosen() -> None:
    def list_jobs(_: datetime) -> list[dict[str, Any]]:
        raise Throttled("slow down")

    s3 = FakeS3()
    with pytest.raises(Throttled):
        taken_over(s3, list_jobs)
    assert backend.read_choice(PLAN, s3=s3) is None


def test_a_backend_that_may_be_asked_for_has_someone_who_collects_its_records() -> None:
    assert set(BACKENDS) - {"auto"} == set(backend.COLLECTORS)
