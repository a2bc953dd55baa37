"""What the account may ask of Rekognition, with real denials and adapters of the offline endpoint."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from moderation.adapters import registry
from moderation.adapters.registry import Version
from moderation.analyse import backend
from moderation.analyse.detect.eligibility import Verdict
from moderation.doctor.aws import rekognition as checks
from moderation.settings import DagSettings
from support.rekognition_server import local, put_manifest, quick, request_for, wait_for_job

START, DETECT = "StartMediaAnalysisJob", "DetectModerationLabels"
ARN = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/one/1700000000000"


@contextmanager
def put(server: Rekognition, path: str, **given: str) -> Iterator[None]:
    before = local(server, path)[1][path.strip("/")]
    assert local(server, path, method="PUT", body=given)[0] == 200
    yield
    local(server, path, method="PUT", body=before)


@pytest.fixture
def told(account, rekognition_server) -> Any:
    """What a check finds while operations are denied."""

    def told(check: Any, backend: str = "auto", **denied: str) -> list[tuple[str, str, str]]:
        account.nightly = replace(DagSettings.from_env({}), backend=backend)
        with put(rekognition_server, "/denied", **denied):
            return [(found.level, found.found, found.remedy) for found in check(account)]

    return told


def test_an_account_may_start_jobs_as_far_as_asking_for_nothing_tells(told):
    ((level, found, _),) = told(checks.bulk_jobs)
    assert level == "ok"
    assert "InvalidS3ObjectException" in found


@pytest.mark.parametrize(("backend", "level"), [("auto", "warning"), ("detect", "warning"), ("bulk", "stop")])
def test_an_account_closed_out_of_bulk_jobs_stops_who_wants_nothing_else(told, backend, level):
    ((found_level, found, remedy),) = told(checks.bulk_jobs, backend, **{START: "closed"})
    assert found_level == level
    assert found.startswith("bulk jobs are closed to this account")
    assert "MODERATION_BACKEND=detect" in remedy


def test_a_denial_that_may_mean_either_is_said_to(account, start_rekognition, aws_env):
    server = start_rekognition(settings=quick(denied={START: "policy"}))  # an account that had no job yet
    aws_env.setenv("AWS_ENDPOINT_URL_REKOGNITION", server.endpoint_url)
    (finding,) = checks.bulk_jobs(account)
    assert finding.level == "warning"
    assert "cannot be told" in finding.found
    assert "statement ModerateWithRekognition" in finding.remedy


def test_an_account_that_had_jobs_lacks_only_the_right(told, rekognition, s3_client, bucket):
    put_manifest(s3_client, bucket, ["!{}"])
    wait_for_job(rekognition, rekognition.start_media_analysis_job(**request_for(bucket))["JobId"])

    ((_, found, _),) = told(checks.bulk_jobs, **{START: "policy"})
    assert "only the right is wanting" in found


@pytest.mark.parametrize("operation", ["ListMediaAnalysisJobs", "GetMediaAnalysisJob"])
def test_jobs_that_could_not_be_followed_are_told_before_they_are_paid(told, operation):
    (level, found, remedy), started = told(checks.bulk_jobs, "bulk", **{operation: "explicit"})
    assert level == "stop"
    assert operation in found
    assert "a Deny in a policy of the role" in remedy
    assert started[0] == "ok"


@pytest.mark.parametrize(
    ("reason", "backend", "level", "helps"),
    [
        ("policy", "auto", "stop", "allow the role rekognition:DetectModerationLabels on *"),
        ("organization", "detect", "stop", "a service control policy of the organization"),
        ("policy", "bulk", "warning", "statement ModerateWithRekognition"),
    ],
)
def test_a_right_to_single_calls_that_is_wanting_is_said_with_who_can_grant_it(
    told, reason, backend, level, helps
):
    ((found_level, _, remedy),) = told(checks.single_calls, backend, **{DETECT: reason})
    assert found_level == level
    assert helps in remedy


def test_an_older_answer_that_runs_still_go_by_is_named_with_its_object(account, told):
    memory = backend.memory(account.settings, account.s3)
    memory.learn(Verdict(eligible=False, reason="it was closed"))
    _, (level, _, remedy) = told(checks.bulk_jobs)
    assert (level, memory.uri in remedy) == ("warning", True)


@pytest.mark.parametrize(
    ("status", "level"),
    [
        (None, "ok"),
        ("TRAINING_COMPLETED", "ok"),
        ("DEPRECATED", "warning"),
        ("EXPIRED", "stop"),
        ("TRAINING_IN_PROGRESS", "stop"),
        ("DELETING", "stop"),
        ("gone", "stop"),
    ],
)
def test_the_state_of_the_adapter_in_use_is_told_before_it_is_ignored(
    account, told, rekognition_server, status, level
):
    if status:
        passes = {"verdict": "passes", "reasons": []}
        version = Version(arn=ARN, project="cards", labels=("Gambling",), set_uri="s3://w/one", gate=passes)
        registry.note(account.settings, version)
        registry.promote(account.settings, ARN, person="ann", now=datetime(2026, 11, 22, tzinfo=UTC))
    adapters = {ARN: status} if status not in {None, "gone"} else {}
    with put(rekognition_server, "/adapters", **adapters):
        ((found_level, found, _),) = told(checks.adapter)
    assert found_level == level
    assert {None: "base model", "gone": "no adapter"}.get(status, status) in found


def test_a_region_without_bulk_jobs_has_single_calls_only(account):
    account.settings = replace(account.settings, region="ca-central-1")
    (auto,) = checks.region(account)
    account.nightly = replace(account.nightly, backend="bulk")
    (bulk,) = checks.region(account)
    assert (auto.level, bulk.level) == ("warning", "stop")
    assert "us-east-1" in auto.remedy
