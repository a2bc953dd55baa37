"""Adapters of the offline server: each state answers as AWS's does, in calls and in jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.rekognition.launch import Rekognition
from local_aws.rekognition.settings import ServerSettings
from moderation.adapters.status import AdapterUnusableError, check_adapter
from support import pictures
from support.rekognition_server import faults, local, put_manifest, request_for, result_lines, wait_for_job

ACCOUNT = ServerSettings().account_id
PROJECT = f"arn:aws:rekognition:us-east-1:{ACCOUNT}:project/nsfw"
READY, OLD, EXPIRED, GOING = (f"{PROJECT}/version/{name}/1700000000000" for name in ("v4", "v3", "v2", "v1"))
STATES = {READY: "TRAINING_COMPLETED", OLD: "DEPRECATED", EXPIRED: "EXPIRED", GOING: "DELETING"}
IMAGE = {"Bytes": pictures.jpeg(80, 80)}


@pytest.fixture(autouse=True)
def known(rekognition_server: Rekognition) -> Iterator[None]:
    status, answer = local(rekognition_server, "/adapters", method="PUT", body=STATES)
    assert (status, answer["adapters"]) == (200, STATES)
    yield
    local(rekognition_server, "/adapters", method="PUT", body={})


def code_of(call: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call()
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.parametrize(("arn", "carried"), [(READY, READY), (OLD, OLD), (EXPIRED, None)])
def test_answers_carry_the_version_unless_it_has_expired(
    rekognition: Any, s3_client: Any, bucket: str, arn: str, carried: str | None
) -> None:
    answer = rekognition.detect_moderation_labels(Image=IMAGE, ProjectVersion=arn)
    assert answer.get("ProjectVersion") == carried
    s3_client.put_object(Bucket=bucket, Key="a.jpg", Body=IMAGE["Bytes"])
    put_manifest(s3_client, bucket, [f"s3://{bucket}/a.jpg"])
    config = {"DetectModerationLabels": {"ProjectVersion": arn}}
    job = rekognition.start_media_analysis_job(**request_for(bucket, OperationsConfig=config))
    (line,) = result_lines(s3_client, wait_for_job(rekognition, job["JobId"]))
    assert line["detect-moderation-labels"].get("ProjectVersion") == carried


@pytest.mark.parametrize(
    ("arn", "code"),
    [(GOING, "ResourceNotReadyException"), (READY.replace("v4", "v9"), "ResourceNotFoundException")],
)
def test_what_is_not_there_or_not_ready_is_refused(
    rekognition: Any, s3_client: Any, bucket: str, arn: str, code: str
) -> None:
    assert code_of(lambda: rekognition.detect_moderation_labels(Image=IMAGE, ProjectVersion=arn)) == code
    put_manifest(s3_client, bucket, [f"s3://{bucket}/a.jpg"])
    config = {"DetectModerationLabels": {"ProjectVersion": arn}}
    request = request_for(bucket, OperationsConfig=config)
    assert code_of(lambda: rekognition.start_media_analysis_job(**request)) == code


def test_the_projects_of_adapters_are_invisible_unless_their_kind_is_named(rekognition: Any) -> None:
    assert not rekognition.describe_projects()["ProjectDescriptions"]
    assert not rekognition.describe_projects(ProjectNames=["x"], Features=["CONTENT_MODERATION"])[
        "ProjectDescriptions"
    ]
    (project,) = rekognition.describe_projects(ProjectNames=["nsfw"], Features=["CONTENT_MODERATION"])[
        "ProjectDescriptions"
    ]
    versions = rekognition.describe_project_versions(ProjectArn=project["ProjectArn"])
    found = {entry["ProjectVersionArn"]: entry["Status"] for entry in versions["ProjectVersionDescriptions"]}
    assert found == STATES
    other = f"{PROJECT}x/1600000000000"
    assert code_of(lambda: rekognition.describe_project_versions(ProjectArn=other)) == (
        "ResourceNotFoundException"
    )


def test_the_check_before_the_start_reads_them(rekognition: Any) -> None:
    assert check_adapter(rekognition, READY) == "TRAINING_COMPLETED"
    for arn, said in (
        (EXPIRED, "is EXPIRED"),
        (GOING, "is DELETING"),
        (READY.replace("v4", "v9"), "no adapter"),
    ):
        with pytest.raises(AdapterUnusableError, match=said):
            check_adapter(rekognition, arn)


def test_a_part_of_the_answers_can_lack_the_version(
    rekognition_server: Rekognition, rekognition: Any, s3_client: Any, bucket: str
) -> None:
    refs = [f"s3://{bucket}/{n}.jpg" for n in range(20)]
    for ref in refs:
        s3_client.put_object(Bucket=bucket, Key=ref.rpartition("/")[2], Body=IMAGE["Bytes"])
    put_manifest(s3_client, bucket, refs)
    config = {"DetectModerationLabels": {"ProjectVersion": READY}}
    with faults(rekognition_server, {"kind": "adapter_missing", "fraction": 0.5}):
        job = rekognition.start_media_analysis_job(**request_for(bucket, OperationsConfig=config))
        lines = result_lines(s3_client, wait_for_job(rekognition, job["JobId"]))
        single = rekognition.detect_moderation_labels(Image=IMAGE, ProjectVersion=READY)
    lacking = sum("ProjectVersion" not in line["detect-moderation-labels"] for line in lines)
    assert 0 < lacking < len(refs)
    assert "ProjectVersion" not in single


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"not-an-arn": "EXPIRED"}, "not the ARN"),
        ({READY: "GONE"}, "cannot be 'GONE'"),
        ([READY], "JSON object"),
    ],
)
def test_adapters_that_make_no_sense_are_refused(
    rekognition_server: Rekognition, given: Any, said: str
) -> None:
    status, answer = local(rekognition_server, "/adapters", method="PUT", body=given)
    assert status == 400
    assert said in answer["error"]
