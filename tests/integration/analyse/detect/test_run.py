"""A manifest through the detect backend: the files, the errors, the rerun, the same as a bulk job."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

import boto3
import pytest

from moderation.analyse.detect.errors import (
    DetectDenied,
    DetectRequestRefused,
    DetectUnavailable,
    ManifestInvalid,
    OwnedElsewhere,
    ResultsConflict,
)
from moderation.analyse.detect.manifest import read
from moderation.analyse.detect.output import Place
from moderation.storage import lease, s3_objects
from support import pictures
from support.detect import Workbench
from support.rekognition_server import faults, local, output, request_for, wait_for_job

ODD_KEYS = ["a b.jpg", "ü#%?.jpg", 'quo"te.jpg', "new\nline.jpg", "smile-😀.jpg"]


def hostile_lines(bench: Workbench) -> list[Any]:
    """Good pictures, odd names, duplicates, and every way a line can be wrong."""
    good = bench.upload(6)
    odd = [f"s3://{bench.bucket}/{key}" for key in ODD_KEYS]
    bad = {
        "text.jpg": pictures.text_named_jpg(),
        "small.jpg": pictures.forty_px(),
        "web.webp": pictures.webp(),
    }
    for number, key in enumerate(ODD_KEYS):
        bench.s3.put_object(Bucket=bench.bucket, Key=key, Body=pictures.jpeg(80, 80) + b"odd%d" % number)
    for key, body in bad.items():
        bench.s3.put_object(Bucket=bench.bucket, Key=key, Body=body)
    refused = [f"s3://{bench.bucket}/{key}" for key in [*bad, "is-not-there.jpg"]]
    broken = ['!{"source-ref": ', "!", '!{"other": 1}', "http://elsewhere/a.jpg", "s3://bucket-without-key"]
    return [*good[:3], *refused, *broken, *odd, good[0], good[0], *good[3:]]


def test_leaves_the_very_files_of_a_bulk_job(bench: Workbench) -> None:
    request = bench.request(hostile_lines(bench))
    outcome = bench.run(request)
    with closing(boto3.session.Session().client("rekognition")) as rekognition:
        started = rekognition.start_media_analysis_job(**request_for(bench.bucket))
        job = wait_for_job(rekognition, started["JobId"])

    bulk = [json.loads(line) for line in output(bench.s3, job, "Results").splitlines()]
    assert bench.results(outcome) == bulk
    assert bench.summary(outcome) == json.loads(output(bench.s3, job, "ManifestSummary"))
    assert outcome.billed == len(bulk)
    assert outcome.billed + outcome.failed == outcome.lines
    assert outcome.model_version == job["Results"]["ModelVersions"]["Moderation"]


def test_answers_stand_in_manifest_order_whatever_order_they_came_in(bench: Workbench) -> None:
    refs = bench.upload(40)
    request = bench.request(refs)
    slow = {"kind": "slow", "operation": "DetectModerationLabels", "probability": 0.4, "seconds": 0.2}
    with faults(bench.server, slow):
        outcome = bench.run(request)
    assert [line["source-ref"] for line in bench.results(outcome)] == refs


def test_a_rerun_recognises_its_files_and_calls_nothing(bench: Workbench) -> None:
    request = bench.request(bench.upload(5))
    first = bench.run(request)
    paid = bench.paid()
    assert bench.run(request) == first
    assert bench.paid() == paid
    assert sum(paid.values()) == 5


def test_nothing_is_left_but_the_files_and_the_marker(bench: Workbench) -> None:
    request = bench.request(bench.upload(5))
    outcome = bench.run(request)
    keys = {entry["Key"].rsplit("/", 1)[1] for entry in s3_objects.list_objects(bench.s3, request.output_uri)}
    assert keys == {"results.jsonl", "manifest-summary.json", "outcome.ckpt", "owner.json"}
    assert not list(bench.spool.glob("*"))
    assert outcome.to_record("m00000-x").results_uri == outcome.results_uri


def test_a_crash_before_the_marker_gives_the_same_bytes_without_a_call(bench: Workbench) -> None:
    """Parts are there, results are there, the marker is not: what a kill between two PUTs leaves."""
    request = bench.request(bench.upload(8))
    place: list[Place] = []

    def crash(s3: Any, where: Place, outcome: Any) -> Any:
        place.append(where)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("moderation.analyse.detect.output.write_outcome", crash)
        with pytest.raises(KeyboardInterrupt):
            bench.run(request)
    before = s3_objects.read(bench.s3, place[0].results)
    for spool in bench.spool.glob("*"):
        spool.unlink()  # another machine goes on
    outcome = bench.run(request)
    assert s3_objects.read(bench.s3, outcome.results_uri).etag == before.etag
    assert outcome.calls == 0
    assert outcome.resumed == 8


def test_foreign_results_in_the_place_are_never_overwritten(bench: Workbench) -> None:
    request = bench.request(bench.upload(3))
    outcome = bench.run(request)
    s3_objects.delete(bench.s3, outcome.results_uri.replace("results.jsonl", "outcome.ckpt"))
    s3_objects.put(bench.s3, outcome.results_uri, b"somebody else's")
    paid = bench.paid()
    with pytest.raises(ResultsConflict, match="holds no results of"):
        bench.run(request)
    assert bench.paid() == paid, "what cannot be stored is not asked"
    assert s3_objects.read(bench.s3, outcome.results_uri).body == b"somebody else's"


def test_a_lost_marker_is_made_again_from_the_files_without_a_call(bench: Workbench) -> None:
    request = bench.request(hostile_lines(bench))
    outcome = bench.run(request)
    before = s3_objects.read(bench.s3, outcome.results_uri), s3_objects.read(bench.s3, outcome.summary_uri)
    s3_objects.delete(bench.s3, outcome.results_uri.replace("results.jsonl", "outcome.ckpt"))
    again = bench.run(request)
    assert again.calls == 0
    assert (again.billed, again.failed) == (outcome.billed, outcome.failed)
    assert s3_objects.read(bench.s3, outcome.results_uri).etag == before[0].etag
    assert s3_objects.read(bench.s3, outcome.summary_uri).etag == before[1].etag


@pytest.mark.parametrize(
    "code",
    [
        "AccessDeniedException",
        "ImageTooLargeException",
        "InvalidImageFormatException",
        "InvalidS3ObjectException",
        "InvalidParameterException",
        "SomethingNewException",
    ],
)
def test_a_refusal_of_one_image_is_one_error_entry(bench: Workbench, code: str) -> None:
    refs = bench.upload(4)
    rule = {"kind": "error", "operation": "DetectModerationLabels", "code": code, "message": "no", "count": 1}
    with faults(bench.server, rule):
        outcome = bench.run(bench.request(refs), max_in_flight=1)
    (entry,) = bench.summary(outcome)["errors"]
    assert entry == {"line-numer": 1, "source-ref": refs[0], "code": code, "message": "no"}
    assert (outcome.billed, outcome.failed, outcome.failed_transient) == (3, 1, 0)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("AccessDeniedException", DetectDenied),
        ("ExpiredTokenException", DetectDenied),
        ("UnrecognizedClientException", DetectDenied),
        ("ResourceNotFoundException", DetectRequestRefused),
        ("InvalidParameterException", DetectRequestRefused),
    ],
)
def test_a_refusal_of_everything_fails_the_task_at_once(
    bench: Workbench, code: str, error: type[Exception]
) -> None:
    request = bench.request(bench.upload(30))
    rule = {"kind": "error", "operation": "DetectModerationLabels", "code": code, "message": "never"}
    with faults(bench.server, rule):
        with pytest.raises(error, match="never"):
            bench.run(request)
        seen = rules_seen(bench)
    assert seen <= 32, "calls in flight and one probe, not every image"
    assert bench.run(request).billed == 30, "no error row was left behind"


def rules_seen(bench: Workbench) -> int:
    return int(local(bench.server, "/faults")[1]["faults"][0]["seen"])


def test_an_adapter_that_is_not_there_fails_the_task(bench: Workbench) -> None:
    arn = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v.2026-01-01T00.00.00/1700000000000"
    with pytest.raises(DetectRequestRefused, match="project/p/version/v"):
        bench.run(bench.request(bench.upload(2), project_version=arn))
    assert not bench.paid()


@pytest.mark.slow
@pytest.mark.parametrize(
    "rule",
    [
        {"kind": "internal_error"},
        {"kind": "drop"},
        {"kind": "throttle", "code": "ThrottlingException"},
        {"kind": "throttle", "code": "ProvisionedThroughputExceededException"},
    ],
    ids=lambda rule: rule.get("code", rule["kind"]),
)
def test_a_disturbance_is_retried_until_each_image_has_its_answer(
    bench: Workbench, rule: dict[str, Any]
) -> None:
    request = bench.request(bench.upload(30))
    with faults(bench.server, {**rule, "operation": "DetectModerationLabels", "probability": 0.3, "seed": 5}):
        outcome = bench.run(request)
    assert (outcome.billed, outcome.failed) == (30, 0)
    assert outcome.retries > 0
    assert set(bench.paid().values()) == {1}


def test_an_image_that_only_meets_disturbances_gets_their_code_within_its_time(bench: Workbench) -> None:
    refs = bench.upload(3)
    request = bench.request(refs)
    rule = {"kind": "internal_error", "operation": "DetectModerationLabels", "skip": 2}
    with faults(bench.server, rule):
        outcome = bench.run(request, max_in_flight=1, image_seconds=1.0)
    (entry,) = bench.summary(outcome)["errors"]
    assert entry["code"] == "InternalServerError"
    assert outcome.failed_transient == 1


@pytest.mark.slow
def test_a_service_that_never_answers_fails_the_task_and_leaves_no_rows(bench: Workbench) -> None:
    request = bench.request(bench.upload(10))
    rule = {"kind": "internal_error", "operation": "DetectModerationLabels"}
    with faults(bench.server, rule), pytest.raises(DetectUnavailable, match=r"InternalServerError|no call"):
        bench.run(request, image_seconds=60.0, outage_seconds=2.0)
    assert bench.run(request).billed == 10


@pytest.mark.slow
def test_when_the_time_is_up_the_rest_is_noted_as_not_attempted(bench: Workbench) -> None:
    request = bench.request(bench.upload(40))
    outcome = bench.run(request, tps=8.0, total_seconds=2.0)
    assert 0 < outcome.billed < 40
    assert outcome.billed + outcome.failed == 40
    codes = {entry["code"] for entry in bench.summary(outcome)["errors"]}
    assert codes == {"NotAttempted"}
    assert outcome.failed_transient == outcome.failed


def test_an_adapter_that_expires_meanwhile_is_asked_no_more_and_the_rest_is_owed(bench: Workbench) -> None:
    arn = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v/1700000000000"
    expired = {"kind": "adapter_missing", "operation": "DetectModerationLabels", "skip": 6}
    request = bench.request(bench.upload(40), project_version=arn)
    local(bench.server, "/adapters", method="PUT", body={arn: "TRAINING_COMPLETED"})
    try:
        with faults(bench.server, expired):
            outcome = bench.run(request, max_in_flight=2, stops_without_adapter=True)
        paid = bench.paid()
        assert bench.run(request, stops_without_adapter=True) == outcome, "it is finished"
        other = bench.request(bench.upload(4, prefix="b"), name="b", project_version=arn)
        with faults(bench.server, expired | {"skip": 0}):
            assert bench.run(other).billed == 4, "who lets the base model answer is asked on"
    finally:
        local(bench.server, "/adapters", method="PUT", body={})
    assert sum(paid.values()) == outcome.billed
    assert 1 <= outcome.adapter_missing <= 2
    assert outcome.billed - outcome.adapter_missing == 6
    errors = bench.summary(outcome)["errors"]
    assert {entry["code"] for entry in errors} == {"NotAttempted"}
    assert "had expired" in errors[0]["message"]
    assert outcome.failed == outcome.failed_transient == 40 - outcome.billed


@pytest.mark.parametrize("body", [b"", b"\n\n", b"{}\n", b"not json\n", b'["s3://a/b"]\n'])
def test_a_manifest_without_images_fails_as_a_bulk_job_would(bench: Workbench, body: bytes) -> None:
    request = bench.request([])
    bench.s3.put_object(Bucket=bench.bucket, Key="manifest.jsonl", Body=body)
    with pytest.raises(ManifestInvalid, match=r"manifest\.jsonl"):
        bench.run(request)


def test_a_manifest_that_is_not_there_is_named(bench: Workbench) -> None:
    request = bench.request([])
    bench.s3.delete_object(Bucket=bench.bucket, Key="manifest.jsonl")
    with pytest.raises(s3_objects.S3Error, match=r"manifest\.jsonl"):
        bench.run(request)


def test_two_processes_never_work_on_one_manifest(bench: Workbench) -> None:
    request = bench.request(bench.upload(2))
    job_id = request.job_id(read(bench.s3, request.manifest_uri).sha256)
    uri = s3_objects.join_uri(request.output_uri, job_id, "owner.json")
    with (
        lease.hold(bench.s3, uri, owner="another machine", ttl=60.0),
        pytest.raises(OwnedElsewhere, match="another machine"),
    ):
        bench.run(request, part_seconds=0.2, owner_seconds=0.5)
    assert not bench.paid()
