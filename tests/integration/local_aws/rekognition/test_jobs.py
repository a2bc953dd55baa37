"""Media analysis jobs against real S3: their life, their files, their failures."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from typing import Any

import pytest

from local_aws.rekognition.launch import Rekognition
from local_aws.seaweedfs import Credentials
from support.hash_moderator import MODEL_VERSION
from support.pictures import jpeg
from support.rekognition_server import (
    client,
    faults,
    ledger,
    local,
    output,
    put_manifest,
    quick,
    request_for,
    result_lines,
    wait_for_job,
    wait_until,
)

ODD_KEYS = [
    "a b%20#?.jpg",
    "quote'\".jpg",
    "new\nline.jpg",
    "emoji 🎨.jpg",
    "ä/ö//ü.jpg",
    "/".join(["x" * 199] * 5),
]
ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/v1/1700000000000"


def refs(bucket: str, *keys: str) -> list[str]:
    return [f"s3://{bucket}/{key}" for key in keys]


def fill(s3: Any, bucket: str, count: int) -> list[str]:
    """Store ``count`` small pictures and a manifest of them."""
    keys = [f"images/{number:04}.jpg" for number in range(count)]
    for number, key in enumerate(keys):
        s3.put_object(Bucket=bucket, Key=key, Body=jpeg(100, 100, seed=number % 7))
    put_manifest(s3, bucket, refs(bucket, *keys))
    return refs(bucket, *keys)


def refused(rekognition: Any, code: str, **request: Any) -> str:
    with pytest.raises(rekognition.exceptions.ClientError) as caught:
        rekognition.start_media_analysis_job(**request)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return str(caught.value.response["Error"]["Message"])


def run(rekognition: Any, bucket: str, **changes: Any) -> dict[str, Any]:
    job_id = rekognition.start_media_analysis_job(**request_for(bucket, **changes))["JobId"]
    return wait_for_job(rekognition, job_id)


def test_a_job_answers_each_line_as_a_single_call_would(
    rekognition: Any, s3_client: Any, bucket: str
) -> None:
    wanted = fill(s3_client, bucket, 12)
    job = run(rekognition, bucket, JobName="the.job_1", OperationsConfig={"DetectModerationLabels": {}})
    assert (job["Status"], job["JobName"]) == ("SUCCEEDED", "the.job_1")
    assert job["Results"]["ModelVersions"] == {"Moderation": MODEL_VERSION}
    assert job["CompletionTimestamp"] >= job["CreationTimestamp"]
    assert "FailureDetails" not in job
    lines = result_lines(s3_client, job)
    assert [line["source-ref"] for line in lines] == wanted
    for line in lines:
        name = line["source-ref"].removeprefix(f"s3://{bucket}/")
        single = rekognition.detect_moderation_labels(Image={"S3Object": {"Bucket": bucket, "Name": name}})
        del single["ResponseMetadata"]
        assert line["detect-moderation-labels"] == single
    summary = json.loads(output(s3_client, job, "ManifestSummary"))
    assert summary["statistics"] == {"total-json-lines": 12, "valid-json-lines": 12, "invalid-json-lines": 0}
    assert summary["errors"] == []


@pytest.mark.parametrize("prefix", ["", "a", "a/b/", None])
def test_the_output_stands_under_the_callers_prefix(
    rekognition: Any, s3_client: Any, bucket: str, prefix: str | None
) -> None:
    fill(s3_client, bucket, 1)
    place = {"S3Bucket": bucket} if prefix is None else {"S3Bucket": bucket, "S3KeyPrefix": prefix}
    job = run(rekognition, bucket, OutputConfig=place)
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    for part in ("Results", "ManifestSummary"):
        assert job[part]["S3Object"]["Name"].startswith(f"{folder or ''}{job['JobId']}/")
        assert output(s3_client, job, part)


def test_odd_keys_and_duplicates_are_analysed_as_they_stand(
    rekognition: Any, s3_client: Any, bucket: str
) -> None:
    for key in ODD_KEYS:
        s3_client.put_object(Bucket=bucket, Key=key, Body=jpeg())
    wanted = refs(bucket, *ODD_KEYS, *ODD_KEYS[:2])
    put_manifest(s3_client, bucket, wanted)
    job = run(rekognition, bucket)
    assert [line["source-ref"] for line in result_lines(s3_client, job)] == wanted


def test_bad_lines_and_bad_images_become_errors_and_the_job_succeeds(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    pictures = {
        "good": jpeg(),
        "text": b"no picture",
        "empty": b"",
        "small": jpeg(40, 40),
        "cut": jpeg()[:500],
    }
    for key, body in pictures.items():
        s3_client.put_object(Bucket=bucket, Key=key, Body=body)
    s3_client.put_object(Bucket=bucket, Key="large", Body=jpeg() + bytes(15 * 1024 * 1024))
    put_manifest(
        s3_client,
        bucket,
        ["!{not json", *refs(bucket, "good", "text", "empty", "small"), "!", "!{}", *refs(bucket, "gone"),
         "s3://no-such-bucket-anywhere/k", *refs(bucket, "large", "cut"), {"source-ref": "http://x/y"}],
    )  # fmt: skip
    job = run(rekognition, bucket)
    assert job["Status"] == "SUCCEEDED"
    assert [line["source-ref"] for line in result_lines(s3_client, job)] == refs(bucket, "good")
    summary = json.loads(output(s3_client, job, "ManifestSummary"))
    assert summary["statistics"] == {"total-json-lines": 11, "valid-json-lines": 8, "invalid-json-lines": 3}
    assert [(error["line-numer"], error.get("source-ref"), error["code"]) for error in summary["errors"]] == [
        (1, None, "ERROR_INVALID_JSON_LINE"),
        (3, f"s3://{bucket}/text", "InvalidImageFormatException"),
        (4, f"s3://{bucket}/empty", "InvalidImageFormatException"),
        (5, f"s3://{bucket}/small", "InvalidParameterException"),
        (7, None, "ERROR_MISSING_SOURCE_REF"),
        (8, f"s3://{bucket}/gone", "InvalidS3ObjectException"),
        (9, "s3://no-such-bucket-anywhere/k", "InvalidS3ObjectException"),
        (10, f"s3://{bucket}/large", "ImageTooLargeException"),
        (11, f"s3://{bucket}/cut", "InvalidImageFormatException"),
        (12, "http://x/y", "ERROR_INVALID_SOURCE_REF_FORMAT"),
    ]
    billed = [e["source_ref"] for e in ledger(rekognition_server) if e["job_id"] == job["JobId"]]
    assert billed == refs(bucket, "manifest.jsonl", "good")


@pytest.mark.slow
def test_a_failed_image_can_leave_a_bare_line_and_the_summary_a_corrected_key(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    s3_client.put_object(Bucket=bucket, Key="bad", Body=b"text")
    put_manifest(s3_client, bucket, refs(bucket, "bad"))
    settings = quick(failed_image_lines="bare", summary_line_key="line-number")
    with client(start_rekognition(settings=settings), credentials) as rekognition:
        job = run(rekognition, bucket)
    assert result_lines(s3_client, job) == [{"source-ref": f"s3://{bucket}/bad"}]
    assert json.loads(output(s3_client, job, "ManifestSummary"))["errors"][0]["line-number"] == 1


def test_the_same_token_is_the_same_job_and_another_request_a_mismatch(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    fill(s3_client, bucket, 1)
    request = request_for(bucket, ClientRequestToken=uuid.uuid4().hex)
    ids = {rekognition.start_media_analysis_job(**request)["JobId"] for _ in range(3)}
    assert len(ids) == 1
    refused(rekognition, "IdempotentParameterMismatchException", **{**request, "JobName": "other"})
    (job_id,) = ids
    wait_for_job(rekognition, job_id)
    s3_client.delete_object(Bucket=bucket, Key="manifest.jsonl")
    assert rekognition.start_media_analysis_job(**request)["JobId"] == job_id
    started = [entry for entry in ledger(rekognition_server) if entry["job_id"] == job_id]
    assert Counter(entry["event"] for entry in started) == {"job_started": 1, "image_billed": 1}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            {"Input": {"S3Object": {"Bucket": "no-such-bucket-anywhere", "Name": "m"}}},
            "InvalidS3ObjectException",
        ),
        ({"Input": {"S3Object": {"Bucket": "abc"}}}, "InvalidS3ObjectException"),
        ({"OperationsConfig": {}}, "InvalidParameterException"),
        (
            {"OperationsConfig": {"DetectModerationLabels": {"ProjectVersion": ARN}}},
            "ResourceNotFoundException",
        ),
        (
            {
                "OperationsConfig": {
                    "DetectModerationLabels": {"ProjectVersion": ARN.replace("us-east-1", "eu-west-1")}
                }
            },
            "InvalidParameterException",
        ),
    ],
)
def test_a_request_that_cannot_work_is_refused_at_once(
    rekognition: Any, s3_client: Any, bucket: str, change: dict[str, Any], code: str
) -> None:
    fill(s3_client, bucket, 1)
    refused(rekognition, code, **request_for(bucket, **change))


@pytest.mark.parametrize("key", ["missing.jsonl", "folder/"])
def test_a_manifest_that_is_not_there_is_refused(
    rekognition: Any, s3_client: Any, bucket: str, key: str
) -> None:
    s3_client.put_object(Bucket=bucket, Key="folder/image.jpg", Body=jpeg())
    source = {"S3Object": {"Bucket": bucket, "Name": key}}
    with pytest.raises(rekognition.exceptions.ClientError) as caught:
        rekognition.start_media_analysis_job(**request_for(bucket, Input=source))
    assert caught.value.response["Error"]["Code"] in {"InvalidS3ObjectException", "InvalidManifestException"}


def test_an_empty_or_too_large_manifest_is_refused(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    server = start_rekognition(settings=quick(limits={"manifest_bytes": 100}))
    with client(server, credentials) as rekognition:
        for size in (0, 101):
            s3_client.put_object(Bucket=bucket, Key="manifest.jsonl", Body=b"x" * size)
            refused(rekognition, "InvalidManifestException", **request_for(bucket))
    assert ledger(server) == []


@pytest.mark.parametrize("lines", [["!{}", "!nonsense"], ["s3://b/k"] * 6])
def test_a_manifest_without_a_valid_line_or_with_too_many_fails_the_job(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials, lines: list[str]
) -> None:
    put_manifest(s3_client, bucket, lines)
    server = start_rekognition(settings=quick(limits={"manifest_lines": 5}))
    with client(server, credentials) as rekognition:
        job = run(rekognition, bucket)
    assert (job["Status"], job["FailureDetails"]["Code"]) == ("FAILED", "INVALID_MANIFEST")
    assert "Results" not in job
    assert "CompletionTimestamp" in job


def test_an_output_bucket_that_is_not_there_fails_the_job_before_anything_is_billed(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    fill(s3_client, bucket, 2)
    job = run(rekognition, bucket, OutputConfig={"S3Bucket": "no-such-bucket-anywhere"})
    assert (job["Status"], job["FailureDetails"]["Code"]) == ("FAILED", "INVALID_OUTPUT_CONFIG")
    events = [entry["event"] for entry in ledger(rekognition_server) if entry["job_id"] == job["JobId"]]
    assert events == ["job_started"]


def test_a_kms_key_that_does_not_exist_fails_the_job(rekognition: Any, s3_client: Any, bucket: str) -> None:
    fill(s3_client, bucket, 1)
    job = run(rekognition, bucket, KmsKeyId="alias/nobody-has-it")
    assert (job["Status"], job["FailureDetails"]["Code"]) == ("FAILED", "INVALID_KMS_KEY")
    assert job["KmsKeyId"] == "alias/nobody-has-it"


@pytest.mark.slow
def test_a_manifest_that_vanishes_after_the_start_fails_the_job(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 1)
    with client(start_rekognition(settings=quick(queued_seconds=1.0)), credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]
        s3_client.delete_object(Bucket=bucket, Key="manifest.jsonl")
        job = wait_for_job(rekognition, job_id)
    assert (job["Status"], job["FailureDetails"]["Code"]) == ("FAILED", "INVALID_S3_OBJECT")


def test_a_key_that_s3_refuses_cannot_start_a_job(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 1)
    stranger = Credentials("AKIASTRANGER", "known-to-rekognition-only")
    with client(start_rekognition(keys=[credentials, stranger]), stranger) as rekognition:
        refused(rekognition, "InvalidS3ObjectException", **request_for(bucket))


@pytest.mark.slow
def test_a_job_passes_through_all_its_states(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 3)
    settings = quick(created_seconds=0.3, queued_seconds=0.3, seconds_per_image=0.2)
    seen: list[str] = []
    with client(start_rekognition(settings=settings), credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket))["JobId"]

        def over() -> bool:
            seen.append(rekognition.get_media_analysis_job(JobId=job_id)["Status"])
            return seen[-1] == "SUCCEEDED"

        wait_until(over, what="the end of the job")
    assert list(dict.fromkeys(seen)) == ["CREATED", "QUEUED", "IN_PROGRESS", "SUCCEEDED"]


@pytest.mark.slow
def test_jobs_beyond_the_limit_are_refused_until_one_is_over(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 1)
    settings = quick(
        queued_seconds=1.5, limits={"open_jobs": {"us-east-1": 2, "eu-west-1": 1, "sa-east-1": 0}}
    )
    server = start_rekognition(settings=settings)
    with client(server, credentials) as here, client(server, credentials, region="eu-west-1") as there:
        ids = [here.start_media_analysis_job(**request_for(bucket))["JobId"] for _ in range(2)]
        refused(here, "LimitExceededException", **request_for(bucket))
        there.start_media_analysis_job(**request_for(bucket))
        for job_id in ids:
            wait_for_job(here, job_id)
        assert here.start_media_analysis_job(**request_for(bucket))["JobId"] not in ids
    with client(server, credentials, region="sa-east-1") as nowhere:
        refused(nowhere, "AccessDeniedException", **request_for(bucket))


@pytest.mark.slow
def test_jobs_are_listed_newest_first_in_pages_and_by_region(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 1)
    server = start_rekognition()
    with client(server, credentials) as here, client(server, credentials, region="eu-west-1") as there:
        ids = [
            here.start_media_analysis_job(**request_for(bucket, JobName=f"n{n}"))["JobId"] for n in range(5)
        ]
        found: list[str] = []
        page: dict[str, Any] = {}
        while not found or "NextToken" in page:
            token = {"NextToken": page["NextToken"]} if page else {}
            page = here.list_media_analysis_jobs(MaxResults=2, **token)
            found += [job["JobId"] for job in page["MediaAnalysisJobs"]]
        assert found == ids[::-1]
        assert there.list_media_analysis_jobs()["MediaAnalysisJobs"] == []
        with pytest.raises(there.exceptions.ResourceNotFoundException):
            there.get_media_analysis_job(JobId=ids[0])
        token = here.list_media_analysis_jobs(MaxResults=2)["NextToken"]
        for bad in ("nonsense", "é", token[:-4]):
            with pytest.raises(here.exceptions.InvalidPaginationTokenException):
                here.list_media_analysis_jobs(NextToken=bad)
        with pytest.raises(there.exceptions.InvalidPaginationTokenException):
            there.list_media_analysis_jobs(NextToken=token)


def test_an_unknown_job_is_not_found(rekognition: Any) -> None:
    with pytest.raises(rekognition.exceptions.ResourceNotFoundException):
        rekognition.get_media_analysis_job(JobId="0" * 64)


@pytest.mark.slow
def test_progress_can_be_watched_while_a_job_runs(
    start_rekognition: Any, s3_client: Any, bucket: str, credentials: Credentials
) -> None:
    fill(s3_client, bucket, 12)
    settings = quick(seconds_per_image=0.1, checkpoint_images=1, prefetch=2)
    server = start_rekognition(settings=settings)
    with client(server, credentials) as rekognition:
        job_id = rekognition.start_media_analysis_job(**request_for(bucket, JobName="watched"))["JobId"]

        def progress() -> dict[str, Any]:
            (job,) = local(server, "/jobs")[1]["jobs"]
            return dict(job)

        wait_until(lambda: 0 < progress()["done"] < 12, what="progress")
        assert (progress()["job_id"], progress()["total"], progress()["job_name"]) == (job_id, 12, "watched")
        wait_for_job(rekognition, job_id)
    assert (progress()["status"], progress()["done"], progress()["billed"]) == ("SUCCEEDED", 12, 12)


@pytest.mark.slow
def test_calls_are_answered_while_jobs_keep_the_workers_busy(
    rekognition: Any, rekognition_server: Rekognition, s3_client: Any, bucket: str
) -> None:
    fill(s3_client, bucket, 60)
    with faults(rekognition_server, {"kind": "job_slow", "seconds": 3}):
        ids = [rekognition.start_media_analysis_job(**request_for(bucket))["JobId"] for _ in range(3)]
    for seed in range(5):
        rekognition.detect_moderation_labels(Image={"Bytes": jpeg(seed=seed)})
    open_jobs = [rekognition.get_media_analysis_job(JobId=job_id)["Status"] for job_id in ids]
    assert "SUCCEEDED" not in open_jobs
    for job_id in ids:
        assert len(result_lines(s3_client, wait_for_job(rekognition, job_id))) == 60
