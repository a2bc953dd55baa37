"""Faults on demand, as a client meets them, and what the ledger says was paid."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from local_aws import process
from local_aws.process import ServiceError
from local_aws.rekognition import launch
from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.wire.model import service_model
from local_aws.seaweedfs import Credentials, SeaweedFS
from support.pictures import jpeg
from support.rekognition_server import (
    client,
    faults,
    ledger,
    local,
    output,
    post,
    put_manifest,
    quick,
    request_for,
    result_lines,
    wait_for_job,
    wait_until,
)

pytestmark = pytest.mark.usefixtures("images")

COUNT = 20
FAILURES = service_model().shape_for("MediaAnalysisJobFailureCode").metadata["enum"]


@pytest.fixture
def images(s3_client: Any, bucket: str) -> list[str]:
    for number in range(5):
        s3_client.put_object(Bucket=bucket, Key=f"{number}", Body=jpeg(100, 100, seed=number))
    found = [f"s3://{bucket}/{number % 5}" for number in range(COUNT)]
    put_manifest(s3_client, bucket, found)
    return found


def code_of(rekognition: Any, call: Any) -> tuple[str, int]:
    with pytest.raises(rekognition.exceptions.ClientError) as caught:
        call()
    response = caught.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"kind": "throttle"}, ("ThrottlingException", 400)),
        ({"kind": "unavailable"}, ("ThrottlingException", 500)),
        (
            {"kind": "throttle", "code": "ProvisionedThroughputExceededException"},
            ("ProvisionedThroughputExceededException", 400),
        ),
        ({"kind": "internal_error"}, ("InternalServerError", 500)),
        ({"kind": "ineligible"}, ("AccessDeniedException", 400)),
        (
            {"kind": "error", "code": "LimitExceededException", "message": "no"},
            ("LimitExceededException", 400),
        ),
    ],
)
def test_a_refusing_fault_costs_nothing(
    rekognition: Any,
    rekognition_server: Rekognition,
    bucket: str,
    rule: dict[str, Any],
    expected: tuple[str, int],
) -> None:
    before = len(ledger(rekognition_server))
    with faults(rekognition_server, {**rule, "operation": "StartMediaAnalysisJob"}):
        call = lambda: rekognition.start_media_analysis_job(**request_for(bucket))  # noqa: E731 - read once
        assert code_of(rekognition, call) == expected
        assert rekognition.list_media_analysis_jobs(MaxResults=1)
    assert len(ledger(rekognition_server)) == before


def test_boto3s_own_retries_get_past_a_throttle(
    rekognition_server: Rekognition, credentials: Credentials
) -> None:
    retries = {"total_max_attempts": 3, "mode": "standard"}
    with (
        client(rekognition_server, credentials, retries=retries) as patient,
        faults(rekognition_server, {"kind": "throttle", "count": 2}),
    ):
        assert patient.list_media_analysis_jobs()["ResponseMetadata"]["RetryAttempts"] == 2


def test_a_lost_answer_to_a_start_is_work_done_and_the_token_finds_it(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    request = request_for(bucket, ClientRequestToken="lost", JobName="lost")
    rule = {"kind": "lost_answer", "operation": "StartMediaAnalysisJob"}
    with faults(rekognition_server, rule), pytest.raises(ConnectionClosedError):
        rekognition.start_media_analysis_job(**request)
    job_id = rekognition.start_media_analysis_job(**request)["JobId"]
    assert wait_for_job(rekognition, job_id)["JobName"] == "lost"
    started = [
        e for e in ledger(rekognition_server) if e["event"] == "job_started" and e["job_name"] == "lost"
    ]
    assert [entry["job_id"] for entry in started] == [job_id]


def test_a_lost_answer_can_come_as_a_timeout(
    rekognition_server: Rekognition, credentials: Credentials, s3_client: Any, bucket: str
) -> None:
    image = {"S3Object": {"Bucket": bucket, "Name": "0"}}
    with (
        client(rekognition_server, credentials, read_timeout=0.5) as hasty,
        faults(rekognition_server, {"kind": "lost_answer", "seconds": 30}),
        pytest.raises(ReadTimeoutError),
    ):
        hasty.detect_moderation_labels(Image=image)

    def paid() -> list[str]:
        entries = ledger(rekognition_server)
        return [entry["event"] for entry in entries if entry["source_ref"] == f"s3://{bucket}/0"]

    assert wait_until(paid, what="the payment") == ["detect_billed"]


def test_a_dropped_request_is_no_work(rekognition: Any, rekognition_server: Rekognition, bucket: str) -> None:
    before = len(ledger(rekognition_server))
    with faults(rekognition_server, {"kind": "drop"}), pytest.raises(ConnectionClosedError):
        rekognition.start_media_analysis_job(**request_for(bucket))
    assert len(ledger(rekognition_server)) == before


def test_a_slow_answer_is_a_true_answer(
    rekognition: Any, rekognition_server: Rekognition, credentials: Credentials
) -> None:
    with (
        faults(rekognition_server, {"kind": "slow", "seconds": 2.0}),
        client(rekognition_server, credentials, read_timeout=0.2) as hasty,
    ):
        with pytest.raises(ReadTimeoutError):
            hasty.list_media_analysis_jobs()
        assert "MediaAnalysisJobs" in rekognition.list_media_analysis_jobs()


@pytest.mark.parametrize("failure", FAILURES)
def test_a_job_can_fail_with_each_code_after_some_images(
    rekognition: Any, rekognition_server: Rekognition, bucket: str, failure: str
) -> None:
    rule = {
        "kind": "job_failed",
        "failure_code": failure,
        "message": "as asked",
        "after_images": 7,
        "count": 1,
    }
    with faults(rekognition_server, rule):
        job = wait_for_job(rekognition, rekognition.start_media_analysis_job(**request_for(bucket))["JobId"])
    assert job["Status"] == "FAILED"
    assert job["FailureDetails"] == {"Code": failure, "Message": "as asked"}
    events = [entry["event"] for entry in ledger(rekognition_server) if entry["job_id"] == job["JobId"]]
    assert events == ["job_started"] + ["image_billed"] * 7


def test_images_can_fail_for_a_while_and_are_not_billed(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    rule = {"kind": "image_errors", "code": "InternalServerError", "fraction": 0.5, "seed": 3}
    with faults(rekognition_server, rule):
        job_id = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
    job = wait_for_job(rekognition, job_id)
    errors = json.loads(output(s3_client, job, "ManifestSummary"))["errors"]
    assert {error["code"] for error in errors} == {"InternalServerError"}
    assert 0 < len(errors) < COUNT
    assert len(result_lines(s3_client, job)) == COUNT - len(errors)
    billed = [e for e in ledger(rekognition_server) if e["job_id"] == job_id and e["event"] == "image_billed"]
    assert len(billed) == COUNT - len(errors)


@pytest.mark.parametrize(
    "kind",
    ["results_missing", "results_duplicated", "results_reordered", "results_malformed", "results_truncated"],
)
def test_the_results_file_can_be_damaged(
    rekognition: Any,
    rekognition_server: Rekognition,
    s3_client: Any,
    bucket: str,
    kind: str,
) -> None:
    calm = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
    with faults(rekognition_server, {"kind": kind, "fraction": 0.4, "seed": 1, "job_name": "hurt"}):
        hurt = rekognition.start_media_analysis_job(**request_for(bucket, JobName="hurt"))["JobId"]
    whole, damaged = (
        output(s3_client, wait_for_job(rekognition, job), "Results").splitlines(keepends=True)
        for job in (calm, hurt)
    )
    assert damaged != whole
    assert len(whole) == COUNT
    assert (sorted(damaged) == sorted(whole)) is (kind == "results_reordered")


def test_faults_can_be_set_from_the_first_request_on(
    start_rekognition: Any, credentials: Credentials
) -> None:
    rule = {"kind": "throttle", "operation": "ListMediaAnalysisJobs", "skip": 1, "count": 1}
    server = start_rekognition(settings=quick(faults=(rule,)))
    with client(server, credentials) as rekognition:
        rekognition.list_media_analysis_jobs()
        assert code_of(rekognition, rekognition.list_media_analysis_jobs)[0] == "ThrottlingException"
        rekognition.list_media_analysis_jobs()
    (told,) = local(server, "/faults")[1]["faults"]
    assert (told["kind"], told["seen"], told["struck"]) == ("throttle", 3, 1)


@pytest.mark.slow
def test_a_server_that_is_given_no_settings_takes_those_of_the_environment(
    s3_server: SeaweedFS, credentials: Credentials, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = {"kind": "throttle", "operation": "ListMediaAnalysisJobs"}
    monkeypatch.setenv("LOCAL_REKOGNITION_SETTINGS", json.dumps({"faults": [rule]}))
    with launch.start(tmp_path / "one", credentials, s3_server.endpoint_url) as server:
        assert post(server, b"{}", credentials=credentials)[2]["__type"] == "ThrottlingException"
    monkeypatch.setenv("LOCAL_REKOGNITION_SETTINGS", '{"fault": []}')
    with pytest.raises(ServiceError, match="no setting called 'fault'"):
        launch.start(tmp_path / "two", credentials, s3_server.endpoint_url)


def test_a_bad_rule_in_the_settings_ends_the_start(start_rekognition: Any) -> None:
    with pytest.raises(process.ServiceError, match="no fault kind 'earthquake'"):
        start_rekognition(settings=quick(faults=({"kind": "earthquake"},)))


@pytest.mark.slow
def test_a_damaged_file_is_the_same_after_a_restart(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    """A job keeps the faults it drew at its start, so that a restart does not heal or worsen it."""
    rule = {"kind": "results_missing", "fraction": 0.5, "seed": 9}
    outputs = []
    for restart in (False, True):
        server = start_rekognition(settings=quick(faults=(rule,), queued_seconds=1.0))
        with client(server, credentials) as rekognition:
            job_id = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
        if restart:
            server.stop()
            server = start_rekognition()
        with client(server, credentials) as rekognition:
            outputs.append(output(s3_client, wait_for_job(rekognition, job_id), "Results"))
        server.stop()
    assert outputs[0] == outputs[1]
