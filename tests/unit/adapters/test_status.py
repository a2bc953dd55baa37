from __future__ import annotations

from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from moderation.adapters.status import AdapterUnusableError, check_adapter

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/nsfw/version/v3/1700000000000"
PROJECT = "arn:aws:rekognition:us-east-1:123456789012:project/nsfw/1600000000000"


@pytest.fixture
def rekognition():
    client = boto3.client(
        "rekognition", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    yield client
    client.close()


def answers(client: Any, *, projects: list[str], versions: dict[str, str]) -> Stubber:
    stub = Stubber(client)
    stub.add_response(
        "describe_projects",
        {"ProjectDescriptions": [{"ProjectArn": arn} for arn in projects]},
        {"ProjectNames": ["nsfw"], "Features": ["CONTENT_MODERATION"]},
    )
    if projects:
        found = [{"ProjectVersionArn": arn, "Status": status} for arn, status in versions.items()]
        stub.add_response(
            "describe_project_versions",
            {"ProjectVersionDescriptions": found},
            {"ProjectArn": projects[0], "VersionNames": ["v3"]},
        )
    return stub


@pytest.mark.parametrize("status", ["TRAINING_COMPLETED", "DEPRECATED"])
def test_an_adapter_that_answers_is_let_through(rekognition, status):
    with answers(rekognition, projects=[PROJECT], versions={ARN: status}):
        assert check_adapter(rekognition, ARN) == status


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        ("EXPIRED", "Train a new version"),
        ("TRAINING_FAILED", "Train a new version"),
        ("TRAINING_IN_PROGRESS", "when its training has ended"),
        ("DELETING", "Train a new version"),
    ],
)
def test_an_adapter_in_whose_place_the_base_model_would_answer_is_refused(rekognition, status, remedy):
    with (
        answers(rekognition, projects=[PROJECT], versions={ARN: status}),
        pytest.raises(AdapterUnusableError, match=f"is {status}.*{remedy}"),
    ):
        check_adapter(rekognition, ARN)


@pytest.mark.parametrize(
    ("projects", "versions"),
    [([], {}), ([PROJECT], {}), ([PROJECT], {ARN.replace("17", "18"): "TRAINING_COMPLETED"})],
)
def test_a_missing_adapter_is_refused(rekognition, projects, versions):
    with answers(rekognition, projects=projects, versions=versions) as stub:
        has(stub, [PROJECT])
        with pytest.raises(
            AdapterUnusableError, match=r"there is no adapter .* in this account and region; "
        ):
            check_adapter(rekognition, ARN)


def has(stub: Stubber, projects: list[str]) -> None:
    """All projects of the account that is asked."""
    stub.add_response(
        "describe_projects",
        {"ProjectDescriptions": [{"ProjectArn": arn} for arn in projects]},
        {"Features": ["CONTENT_MODERATION"]},
    )


@pytest.mark.parametrize(
    ("projects", "told"),
    [
        (
            [PROJECT],
            "it is of the account 999999999999, and 123456789012 is asked, and an adapter answers in",
        ),
        ([], "it is of the account 999999999999, and an adapter answers in the account"),
    ],
)
def test_an_adapter_of_another_account_is_named_as_such(rekognition, projects, told):
    with answers(rekognition, projects=[PROJECT], versions={}) as stub:
        has(stub, projects)
        with pytest.raises(AdapterUnusableError, match=told):
            check_adapter(rekognition, ARN.replace("123456789012", "999999999999"))


def test_an_adapter_of_another_region_is_refused_without_asking(rekognition):
    with pytest.raises(AdapterUnusableError, match=r"of the region eu-west-1, .* in us-east-1: .*train"):
        check_adapter(rekognition, ARN.replace("us-east-1", "eu-west-1"))


def test_what_is_no_arn_of_a_version_is_refused_without_asking(rekognition):
    with pytest.raises(AdapterUnusableError, match="not the ARN"):
        check_adapter(rekognition, PROJECT)


def test_who_may_not_look_it_up_is_told_which_rights_are_missing(rekognition):
    with Stubber(rekognition) as stub:
        stub.add_client_error("describe_projects", "AccessDeniedException", "not authorized")
        with pytest.raises(AdapterUnusableError, match=r"grant rekognition:DescribeProjects"):
            check_adapter(rekognition, ARN)
