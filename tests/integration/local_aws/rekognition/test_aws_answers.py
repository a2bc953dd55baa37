"""What AWS answers, word for word: the developer guide's table of errors, pages, versions and regions."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from local_aws.seaweedfs import Credentials
from support.pictures import jpeg, text_named_jpg
from support.rekognition_server import (
    client,
    faults,
    local,
    post,
    put_manifest,
    quick,
    request_for,
    wait_for_job,
)

ACCOUNT = ServerSettings().account_id
PROJECT = f"arn:aws:rekognition:us-east-1:{ACCOUNT}:project"
S3_TEXT = "Unable to get object metadata from S3. Check object key, region and/or access permissions."
LIST = "ListMediaAnalysisJobs"
USER = f"arn:aws:iam::{ACCOUNT}:user/AKIAMODERATIONTEST00"


def refused(call: Any) -> tuple[int, str, str]:
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response
    return (
        error["ResponseMetadata"]["HTTPStatusCode"],
        error["Error"]["Code"],
        error["Error"]["Message"],
    )


@pytest.fixture
def image(s3_client: Any, bucket: str) -> dict[str, Any]:
    s3_client.put_object(Bucket=bucket, Key="a.jpg", Body=jpeg())
    put_manifest(s3_client, bucket, [f"s3://{bucket}/a.jpg"])
    return {"S3Object": {"Bucket": bucket, "Name": "a.jpg"}}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (
            {"kind": "throttle"},
            (400, "ThrottlingException", "Slow down; sudden increase in rate of requests."),
        ),
        ({"kind": "unavailable"}, (500, "ThrottlingException", "Service Unavailable")),
        (
            {"kind": "throttle", "code": "ProvisionedThroughputExceededException"},
            (400, "ProvisionedThroughputExceededException", "Provisioned Rate exceeded."),
        ),
        ({"kind": "internal_error"}, (500, "InternalServerError", "Internal server error")),
        (
            {"kind": "ineligible"},
            (
                400,
                "AccessDeniedException",
                f"User: {USER} is not authorized to perform: rekognition:{LIST} on resource: *",
            ),
        ),
        (
            {"kind": "error", "code": "ResourceInUseException"},
            (400, "ResourceInUseException", "Specified resource is in use."),
        ),
    ],
)
def test_a_refusal_has_awss_text_and_status(
    rekognition_server: Rekognition, rekognition: Any, rule: dict[str, Any], expected: tuple[int, str, str]
) -> None:
    with faults(rekognition_server, rule):
        assert refused(rekognition.list_media_analysis_jobs) == expected


@pytest.mark.parametrize(
    ("picture", "expected"),
    [
        (text_named_jpg(), ("InvalidImageFormatException", "Request has invalid image format.")),
        (jpeg(79, 100), ("InvalidParameterException", "Request has invalid parameters.")),
    ],
)
def test_a_refused_image_has_awss_text_in_a_call_and_in_a_job(
    rekognition: Any, s3_client: Any, bucket: str, picture: bytes, expected: tuple[str, str]
) -> None:
    s3_client.put_object(Bucket=bucket, Key="a.jpg", Body=jpeg())
    s3_client.put_object(Bucket=bucket, Key="b.jpg", Body=picture)
    call = lambda: rekognition.detect_moderation_labels(Image={"Bytes": picture})  # noqa: E731 - read once
    assert refused(call) == (400, *expected)
    put_manifest(s3_client, bucket, [f"s3://{bucket}/b.jpg", f"s3://{bucket}/a.jpg"])
    job = rekognition.start_media_analysis_job(**request_for(bucket))
    (error,) = summary_errors(s3_client, wait_for_job(rekognition, job["JobId"]))
    assert (error["code"], error["message"]) == expected


def summary_errors(s3: Any, job: dict[str, Any]) -> list[dict[str, Any]]:
    place = job["ManifestSummary"]["S3Object"]
    answer = s3.get_object(Bucket=place["Bucket"], Key=place["Name"])
    with answer["Body"] as body:
        errors: list[dict[str, Any]] = json.loads(body.read())["errors"]
    return errors


def test_an_image_that_is_too_large_has_awss_text(start_rekognition: Any, credentials: Credentials) -> None:
    server = start_rekognition(settings=quick(limits={"raw_image_bytes": 100}))
    with client(server, credentials) as rekognition:
        call = lambda: rekognition.detect_moderation_labels(Image={"Bytes": jpeg()})  # noqa: E731 - read once
        assert refused(call) == (400, "ImageTooLargeException", "Image size is too large.")


def test_a_token_with_another_request_and_one_job_too_many_have_awss_texts(
    start_rekognition: Any, credentials: Credentials, bucket: str, image: dict[str, Any]
) -> None:
    server = start_rekognition(settings=quick(limits={"open_jobs": 1}, queued_seconds=60.0))
    token = uuid.uuid4().hex
    with client(server, credentials) as rekognition:
        start = rekognition.start_media_analysis_job
        start(**request_for(bucket, ClientRequestToken=token))
        again = request_for(bucket, ClientRequestToken=token, JobName="other")
        assert refused(lambda: start(**again)) == (
            400,
            "IdempotentParameterMismatchException",
            f"The ClientRequestToken: {token} you have supplied is already in use.",
        )
        assert refused(lambda: start(**request_for(bucket))) == (
            400,
            "LimitExceededException",
            f"1 open Jobs for User {USER} Maximum limit: 1",
        )
    with client(server, credentials, region="sa-east-1") as elsewhere:
        status, code, _ = refused(lambda: elsewhere.list_media_analysis_jobs(NextToken="nonsense"))
        assert (status, code) == (400, "InvalidPaginationTokenException")


def test_a_request_that_breaks_a_constraint_takes_nothing_from_the_quota_or_from_a_faults_count(
    start_rekognition: Any, credentials: Credentials
) -> None:
    settings = quick(limits={"calls_per_second": {"ListMediaAnalysisJobs": 0.001}})
    server = start_rekognition(settings=settings)
    with faults(server, {"kind": "slow", "seconds": 0.0, "count": 1}):
        for body in (b'{"MaxResults": 101}', b'{"MaxResults": "1"}', b"{"):
            assert post(server, body, credentials=credentials)[0] == 400
        (rule,) = local(server, "/faults")[1]["faults"]
        assert rule["seen"] == 0
        assert post(server, b"{}", credentials=credentials)[0] == 200
    assert post(server, b"{}", credentials=credentials)[2]["__type"] == "ThrottlingException"


# --- pages


@pytest.fixture
def projects(rekognition_server: Rekognition) -> Iterator[list[str]]:
    """Three projects: one with five versions, one with one, one with none."""
    versions = {f"{PROJECT}/many/version/v{n}/170000000000{n}": "TRAINING_COMPLETED" for n in range(5)}
    given = {
        **versions,
        f"{PROJECT}/one/version/v/1700000000000": "EXPIRED",
        f"{PROJECT}/none/1650000000000": "CREATED",
    }
    assert local(rekognition_server, "/adapters", method="PUT", body=given)[1]["adapters"] == given
    yield [f"{PROJECT}/many/1600000000000", f"{PROJECT}/none/1650000000000", f"{PROJECT}/one/1600000000000"]
    local(rekognition_server, "/adapters", method="PUT", body={})


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_projects_come_in_pages_none_twice_and_none_left_out(
    rekognition: Any, projects: list[str], size: int
) -> None:
    pages = rekognition.get_paginator("describe_projects").paginate(
        Features=["CONTENT_MODERATION"], PaginationConfig={"PageSize": size}
    )
    found = [[entry["ProjectArn"] for entry in page["ProjectDescriptions"]] for page in pages]
    assert [len(page) for page in found[:-1]] == [size] * (len(found) - 1)
    assert sorted(arn for page in found for arn in page) == projects


@pytest.mark.parametrize("size", [1, 2, 5, 100])
def test_versions_come_in_pages_latest_first(rekognition: Any, projects: list[str], size: int) -> None:
    pages = rekognition.get_paginator("describe_project_versions").paginate(
        ProjectArn=projects[0], PaginationConfig={"PageSize": size}
    )
    found = [[entry["ProjectVersionArn"] for entry in page["ProjectVersionDescriptions"]] for page in pages]
    assert max(map(len, found)) <= size
    assert [arn.split("/")[3] for page in found for arn in page] == ["v4", "v3", "v2", "v1", "v0"]


def test_an_empty_project_has_an_empty_list_of_versions(rekognition: Any, projects: list[str]) -> None:
    assert rekognition.describe_project_versions(ProjectArn=projects[1])["ProjectVersionDescriptions"] == []
    unknown = f"{PROJECT}/other/1600000000000"
    call = lambda: rekognition.describe_project_versions(ProjectArn=unknown)  # noqa: E731 - read once
    assert refused(call)[1] == "ResourceNotFoundException"


def test_a_token_holds_for_its_own_operation_only(rekognition: Any, projects: list[str]) -> None:
    features = ["CONTENT_MODERATION"]
    token = rekognition.describe_projects(Features=features, MaxResults=1)["NextToken"]
    for call in (
        lambda: rekognition.describe_project_versions(ProjectArn=projects[0], NextToken=token),
        lambda: rekognition.list_media_analysis_jobs(NextToken=token),
        lambda: rekognition.describe_projects(Features=features, NextToken=token[:-4]),
    ):
        assert refused(call) == (400, "InvalidPaginationTokenException", "Invalid Pagination Token")


def test_an_empty_token_begins_anew(
    rekognition: Any, bucket: str, image: dict[str, Any], projects: list[str]
) -> None:
    rekognition.start_media_analysis_job(**request_for(bucket))
    for call in (
        lambda **token: rekognition.list_media_analysis_jobs(MaxResults=10, **token)["MediaAnalysisJobs"],
        lambda **token: rekognition.describe_projects(Features=["CONTENT_MODERATION"], **token)[
            "ProjectDescriptions"
        ],
        lambda **token: rekognition.describe_project_versions(ProjectArn=projects[0], **token)[
            "ProjectVersionDescriptions"
        ],
    ):
        whole = call()
        assert whole
        assert len(call(NextToken="")) == len(whole)


# --- versions and regions


@pytest.mark.parametrize("versioned", [False, True])
def test_a_version_that_does_not_exist_is_refused(
    rekognition: Any, s3_client: Any, bucket: str, image: dict[str, Any], versioned: bool
) -> None:
    if versioned:
        s3_client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3_client.put_object(Bucket=bucket, Key="a.jpg", Body=jpeg())
    for version in ("nonsense", "a" * 32):
        source = {**image["S3Object"], "Version": version}
        manifest = {"S3Object": {**source, "Name": "manifest.jsonl"}}
        for operation, request in (
            ("detect_moderation_labels", {"Image": {"S3Object": source}}),
            ("start_media_analysis_job", request_for(bucket, Input=manifest)),
        ):
            call = lambda: getattr(rekognition, operation)(**request)  # noqa: B023, E731 - called here
            assert refused(call) == (400, "InvalidS3ObjectException", S3_TEXT)


@pytest.mark.parametrize("part", ["image", "manifest"])
def test_the_version_of_an_unversioned_object_is_null(
    rekognition: Any, bucket: str, image: dict[str, Any], part: str
) -> None:
    if part == "image":
        source = {**image["S3Object"], "Version": "null"}
        assert rekognition.detect_moderation_labels(Image={"S3Object": source})["ModerationModelVersion"]
    else:
        manifest = {"S3Object": {"Bucket": bucket, "Name": "manifest.jsonl", "Version": "null"}}
        job = rekognition.start_media_analysis_job(**request_for(bucket, Input=manifest))
        assert wait_for_job(rekognition, job["JobId"])["Status"] == "SUCCEEDED"


def test_a_bucket_of_another_region_is_refused(
    start_rekognition: Any, credentials: Credentials, s3_client: Any, bucket: str, image: dict[str, Any]
) -> None:
    elsewhere = f"test-{uuid.uuid4().hex[:16]}"
    s3_client.create_bucket(Bucket=elsewhere)
    s3_client.put_object(Bucket=elsewhere, Key="a.jpg", Body=jpeg())
    put_manifest(s3_client, elsewhere, [f"s3://{elsewhere}/a.jpg"])
    server = start_rekognition(settings=quick(bucket_regions={"*": "us-east-1", elsewhere: "eu-west-1"}))
    far = {"S3Object": {"Bucket": elsewhere, "Name": "a.jpg"}}
    with client(server, credentials) as here, client(server, credentials, region="eu-west-1") as there:
        for ours, theirs, caller in ((image, far, here), (far, image, there)):
            assert caller.detect_moderation_labels(Image=ours)["ModerationModelVersion"]
            call = lambda: caller.detect_moderation_labels(Image=theirs)  # noqa: B023, E731 - called here
            assert refused(call) == (400, "InvalidS3ObjectException", S3_TEXT)
        far_manifest = {"S3Object": {"Bucket": elsewhere, "Name": "manifest.jsonl"}}
        start = lambda: here.start_media_analysis_job(**request_for(bucket, Input=far_manifest))  # noqa: E731
        assert refused(start) == (400, "InvalidS3ObjectException", S3_TEXT)
        output = {"S3Bucket": elsewhere}
        job = here.start_media_analysis_job(**request_for(bucket, OutputConfig=output))
        failed = wait_for_job(here, job["JobId"])
        assert (failed["Status"], failed["FailureDetails"]["Code"]) == ("FAILED", "INVALID_OUTPUT_CONFIG")
        put_manifest(s3_client, bucket, [f"s3://{elsewhere}/a.jpg", f"s3://{bucket}/a.jpg"])
        mixed = wait_for_job(here, here.start_media_analysis_job(**request_for(bucket))["JobId"])
        (error,) = summary_errors(s3_client, mixed)
        assert (error["code"], error["message"]) == ("InvalidS3ObjectException", S3_TEXT)
    for key in ("a.jpg", "manifest.jsonl"):
        s3_client.delete_object(Bucket=elsewhere, Key=key)
    s3_client.delete_bucket(Bucket=elsewhere)
