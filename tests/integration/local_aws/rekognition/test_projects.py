"""Projects, versions and tags, as boto3 sees them: limits, pages, errors."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from local_aws.seaweedfs import Credentials
from support.adapter_training import version_request, wait_for_training
from support.rekognition_server import client, local, quick, wait_until

ACCOUNT = "123456789012"


def refusal(call: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call()
    error = refused.value.response["Error"]
    return str(error["Code"]), str(error["Message"])


def code_of(call: Any) -> str:
    return refusal(call)[0]


def refusal_of(call: Any) -> str | None:
    try:
        call()
    except ClientError as refused:
        return str(refused.response["Error"]["Code"])
    return None


def delete(rekognition: Any, project: str) -> None:
    """Delete a project with its versions, and wait until they are gone."""
    for version in rekognition.describe_project_versions(ProjectArn=project)["ProjectVersionDescriptions"]:
        wait_for_training(rekognition, project, version["ProjectVersionArn"].split("/")[3])
        rekognition.delete_project_version(ProjectVersionArn=version["ProjectVersionArn"])
    wait_until(
        lambda: not rekognition.describe_project_versions(ProjectArn=project)["ProjectVersionDescriptions"]
    )
    rekognition.delete_project(ProjectArn=project)


@pytest.fixture
def project(rekognition: Any) -> Iterator[str]:
    arn = create(rekognition, f"p-{uuid.uuid4().hex[:12]}")
    yield arn
    delete(rekognition, arn)


def create(rekognition: Any, name: str, **changes: Any) -> str:
    request = {"Feature": "CONTENT_MODERATION", "AutoUpdate": "DISABLED", **changes}
    return str(rekognition.create_project(ProjectName=name, **request)["ProjectArn"])


def listed(rekognition: Any, **filters: Any) -> list[dict[str, Any]]:
    filters = {"Features": ["CONTENT_MODERATION"], **filters}
    return list(rekognition.describe_projects(**filters)["ProjectDescriptions"])


def test_a_project_is_made_shown_and_deleted(rekognition: Any) -> None:
    arn = create(rekognition, "shown", AutoUpdate="ENABLED")
    assert arn.startswith(f"arn:aws:rekognition:us-east-1:{ACCOUNT}:project/shown/")
    (found,) = listed(rekognition, ProjectNames=["shown"])
    assert (found["ProjectArn"], found["Status"], found["Feature"], found["AutoUpdate"]) == (
        arn, "CREATED", "CONTENT_MODERATION", "ENABLED",
    )  # fmt: skip
    assert code_of(lambda: create(rekognition, "shown")) == "ResourceInUseException"
    assert rekognition.delete_project(ProjectArn=arn)["Status"] == "DELETING"
    wait_until(lambda: not listed(rekognition, ProjectNames=["shown"]))
    assert code_of(lambda: rekognition.delete_project(ProjectArn=arn)) == "ResourceNotFoundException"


def test_projects_come_in_pages_and_by_feature(rekognition: Any) -> None:
    arns = [create(rekognition, f"paged-{number}") for number in range(3)]
    labels = rekognition.create_project(ProjectName="labels")["ProjectArn"]
    try:
        pages = rekognition.get_paginator("describe_projects").paginate(
            Features=["CONTENT_MODERATION"], PaginationConfig={"PageSize": 2}
        )
        found = [one["ProjectArn"] for page in pages for one in page["ProjectDescriptions"]]
        assert found == sorted(set(found))
        assert set(arns) <= set(found)
        assert labels not in found
        assert labels in [one["ProjectArn"] for one in rekognition.describe_projects()["ProjectDescriptions"]]
        assert (
            code_of(lambda: rekognition.create_project_version(**version_request(labels, "bucket")))
            == "InvalidParameterException"
        )
        assert code_of(lambda: listed(rekognition, NextToken="x")) == "InvalidPaginationTokenException"
    finally:
        for arn in [*arns, labels]:
            rekognition.delete_project(ProjectArn=arn)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"ProjectName": "a b"}, "ValidationException"),
        ({"ProjectName": "x" * 256}, "ValidationException"),
        ({"Feature": "FACES"}, "ValidationException"),
        ({"AutoUpdate": None}, "InvalidParameterException"),
        ({"Feature": "CUSTOM_LABELS"}, "InvalidParameterException"),
        ({"Tags": {"aws:x": "y"}}, "ValidationException"),
    ],
)
def test_a_project_that_makes_no_sense_is_refused(
    rekognition: Any, changes: dict[str, Any], code: str
) -> None:
    request = {"ProjectName": "refused", "Feature": "CONTENT_MODERATION", "AutoUpdate": "DISABLED", **changes}
    given = {name: value for name, value in request.items() if value is not None}
    assert code_of(lambda: rekognition.create_project(**given)) == code
    assert not listed(rekognition, ProjectNames=["refused"])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"VersionName": "a/b"}, "ValidationException"),
        ({"OutputConfig": {}}, "InvalidParameterException"),
        ({"TrainingData": {}}, "InvalidParameterException"),
        ({"TrainingData": {"Assets": [{}]}}, "InvalidParameterException"),
        ({"TestingData": {}}, "InvalidParameterException"),
        ({"TestingData": {"AutoCreate": False}}, "InvalidParameterException"),
        ({"FeatureConfig": {"ContentModeration": {"ConfidenceThreshold": 101.0}}}, "ValidationException"),
        ({"VersionDescription": "<b>"}, "ValidationException"),
    ],
)
def test_a_version_that_makes_no_sense_is_refused(
    rekognition: Any, project: str, changes: dict[str, Any], code: str
) -> None:
    request = {**version_request(project, "some-bucket"), **changes}
    assert code_of(lambda: rekognition.create_project_version(**request)) == code
    assert not rekognition.describe_project_versions(ProjectArn=project)["ProjectVersionDescriptions"]


def test_arns_of_others_and_of_nothing_are_told_apart(rekognition: Any, project: str) -> None:
    missing = f"{project}9"
    elsewhere = project.replace("us-east-1", "eu-west-1")
    other_account = project.replace(ACCOUNT, "210987654321")
    calls = [
        lambda arn: rekognition.delete_project(ProjectArn=arn),
        lambda arn: rekognition.describe_project_versions(ProjectArn=arn),
        lambda arn: rekognition.create_project_version(**version_request(arn, "some-bucket")),
        lambda arn: rekognition.list_tags_for_resource(ResourceArn=arn),
        lambda arn: rekognition.tag_resource(ResourceArn=arn, Tags={"a": "b"}),
        lambda arn: rekognition.untag_resource(ResourceArn=arn, TagKeys=["a"]),
    ]
    for call in calls:
        assert code_of(lambda call=call: call(missing)) == "ResourceNotFoundException"
        assert code_of(lambda call=call: call(elsewhere)) == "InvalidParameterException"
        assert code_of(lambda call=call: call(other_account)) == "InvalidParameterException"
    version = f"{project.rpartition('/')[0]}/version/v/1"
    assert (
        code_of(lambda: rekognition.delete_project_version(ProjectVersionArn=version))
        == "ResourceNotFoundException"
    )


def test_tags_are_put_changed_and_taken_away(rekognition: Any) -> None:
    arn = create(rekognition, "tagged", Tags={"team": "trust"})
    rekognition.tag_resource(ResourceArn=arn, Tags={"team": "safety", "ö": ""})
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"team": "safety", "ö": ""}
    rekognition.untag_resource(ResourceArn=arn, TagKeys=["team", "never"])
    assert rekognition.list_tags_for_resource(ResourceArn=arn)["Tags"] == {"ö": ""}
    many = {f"k{number}": "" for number in range(200)}
    assert code_of(lambda: rekognition.tag_resource(ResourceArn=arn, Tags=many)) == (
        "ServiceQuotaExceededException"
    )
    rekognition.delete_project(ProjectArn=arn)


def test_a_version_name_is_taken_once_and_a_project_with_versions_stays(
    rekognition: Any, s3_client: Any, bucket: str, project: str
) -> None:
    request = version_request(project, bucket)
    arn = rekognition.create_project_version(**request)["ProjectVersionArn"]
    assert code_of(lambda: rekognition.create_project_version(**request)) == "ResourceInUseException"
    assert code_of(lambda: rekognition.delete_project(ProjectArn=project)) == "ResourceInUseException"
    found = wait_for_training(rekognition, project)
    assert (found["ProjectVersionArn"], found["Status"]) == (arn, "TRAINING_FAILED")
    assert found["StatusMessage"].startswith("The manifest file extension or contents are invalid.")
    assert (
        code_of(lambda: rekognition.detect_moderation_labels(Image={"Bytes": b"x"}, ProjectVersion=arn))
        == "ResourceNotReadyException"
    )


def test_quotas_hold_by_region(start_rekognition: Any, credentials: Credentials, bucket: str) -> None:
    limits = {"projects": 2, "versions_per_project": 2, "running_trainings": 1}
    server = start_rekognition(settings=quick(limits=limits, training_seconds=60.0))
    with client(server, credentials) as rekognition, client(server, credentials, region="eu-west-1") as other:
        project = create(rekognition, "a")
        create(rekognition, "b")
        assert refusal(lambda: create(rekognition, "c")) == (
            "LimitExceededException",
            "2 projects exist. Maximum limit: 2",
        )
        create(other, "a")
        for name in ("one", "two"):
            rekognition.create_project_version(**version_request(project, bucket, name))
            wait_for_training(rekognition, project, name)
        assert (
            "2 versions exist"
            in refusal(
                lambda: rekognition.create_project_version(**version_request(project, bucket, "three"))
            )[1]
        )
    assert [entry["event"] for entry in local(server, "/ledger")[1]["entries"]] == ["training_started"] * 2


def test_the_published_rate_holds_for_each_operation(
    start_rekognition: Any, credentials: Credentials
) -> None:
    server = start_rekognition(settings=quick(limits={"calls_per_second": {}}))
    with client(server, credentials) as rekognition:
        for _ in range(5):
            rekognition.describe_projects()
        # On a busy machine a few calls may take a second: many at once exceed the rate all the same.
        with ThreadPoolExecutor(20) as callers:
            refused = [*callers.map(lambda _: refusal_of(rekognition.describe_projects), range(100))]
    assert set(refused) - {None}
    assert set(refused) <= {None, "ProvisionedThroughputExceededException", "ThrottlingException"}
