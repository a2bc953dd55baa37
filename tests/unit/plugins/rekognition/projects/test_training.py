from __future__ import annotations

from typing import Any

import pytest

from rekognition.exceptions import RekognitionArgumentError, RekognitionNameTaken
from rekognition.projects import training

ARGUMENTS: dict[str, Any] = {
    "project_arn": "arn:aws:rekognition:us-east-1:123456789012:project/cards/1",
    "training_uri": "s3://sets/a/training.jsonl",
    "testing_uri": "s3://sets/a/testing.jsonl",
    "output_uri": "s3://sets/a/output",
    "confidence_threshold": "50",
    "kms_key_id": None,
    "tags": None,
}
ASKER = ("train_adapter", "manual__2026-11-22T02:00:00+00:00", "train", -1)
VERSION = "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/v1/1700000000000"


def test_without_test_images_aws_takes_some_of_the_training_images() -> None:
    body = training.request_body(**{**ARGUMENTS, "testing_uri": "None"})
    assert body["TestingData"] == {"AutoCreate": True}


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"training_uri": "s3://sets/a/"}, "training_uri"),
        ({"testing_uri": "s3://sets"}, "testing_uri"),
        ({"output_uri": "/tmp/out"}, "output_uri"),
        ({"confidence_threshold": "much"}, "confidence_threshold"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named(changed: dict[str, Any], named: str) -> None:
    with pytest.raises(RekognitionArgumentError, match=named):
        training.request_body(**{**ARGUMENTS, **changed})


def test_the_same_task_asks_under_the_same_name_and_any_change_under_another() -> None:
    body = training.request_body(**ARGUMENTS)
    other = training.request_body(**{**ARGUMENTS, "training_uri": "s3://sets/b/training.jsonl"})
    names = {
        training.base_name(body, version_name=None, asker=ASKER),
        training.base_name(body, version_name=None, asker=(*ASKER[:1], "manual__other", *ASKER[2:])),
        training.base_name(other, version_name=None, asker=ASKER),
    }
    assert len(names) == 3
    assert training.base_name(training.request_body(**ARGUMENTS), version_name=None, asker=ASKER) in names


def test_a_name_of_many_characters_leaves_room_for_later_generations() -> None:
    name = training.base_name(
        training.request_body(**ARGUMENTS), version_name=None, asker=("d" * 250, "r", "t" * 250, -1)
    )
    assert len(training.generation_name(name, 9999)) <= 255


@pytest.mark.parametrize(
    ("name", "expected"), [("v1", True), ("v1-g2", True), ("v1-g12", True), ("v11", False), ("w1-g2", False)]
)
def test_the_generations_of_a_name_are_known(name: str, expected: bool) -> None:
    assert training.is_generation(name, "v1") is expected


@pytest.mark.parametrize("arn", ["", "v1", VERSION.rpartition("/")[0], ARGUMENTS["project_arn"]])
def test_what_is_no_version_is_refused(arn: str) -> None:
    with pytest.raises(RekognitionArgumentError, match="not the ARN of an adapter version"):
        training.name_in(arn)


@pytest.mark.parametrize(
    ("found", "same"),
    [
        ({"VersionDescription": "of the request"}, True),
        ({"VersionDescription": "request 0"}, False),
        ({}, True),
        ({"TrainingDataResult": {"Input": {"Assets": []}}}, False),
    ],
)
def test_a_version_of_the_name_counts_only_if_it_was_trained_with_the_same(
    found: dict[str, Any], same: bool
) -> None:
    body = training.request_body(**ARGUMENTS)
    if found.get("VersionDescription") == "of the request":
        found = {"VersionDescription": body["VersionDescription"]}
    described = {"ProjectVersionArn": VERSION, **found}
    if same:
        training.check_same(described, body)
        return
    with pytest.raises(RekognitionNameTaken, match="another version_name"):
        training.check_same(described, body)
