"""A training that failed is begun anew under the next name, whoever began the one before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from moderation.adapters import training
from moderation.adapters.registry import Version
from moderation.adapters.sets.store import StoredSet
from moderation.adapters.sets.training_set import TrainingSet
from moderation.settings import Settings
from rekognition.projects import training as of_dags
from support.fake_rekognition import FakeRekognition

FAILED, DONE = ["TRAINING_FAILED"], ["TRAINING_COMPLETED"]
EMPTY = TrainingSet(labels=("Gambling",), annotated=(), thresholds={}, rule={}, pictures=())
STORED = StoredSet(
    uri=f"s3://bucket/work/adapters/cards/sets/{'a' * 64}", project="cards", contents=EMPTY, places={}
)
NAME = training.version_name(STORED)


@pytest.fixture
def rekognition(fake_rekognition: FakeRekognition, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(
        training, "note_begun", lambda *_, **__: Version(arn="", project="", labels=(), set_uri="")
    )
    client = boto3.client("rekognition", region_name="us-east-1")
    yield client
    client.close()


def begun(rekognition: Any) -> str:
    """The name of the version that is found or made."""
    return training.begin(Settings(), rekognition, STORED).split("/")[3]


@pytest.mark.parametrize("unknown_is_an_error", [False, True])
def test_each_failed_training_gives_way_to_one_of_the_next_name(
    unknown_is_an_error: bool, rekognition: Any, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.unknown_version_is_an_error = unknown_is_an_error
    fake_rekognition.trainings.extend([FAILED, FAILED, DONE])
    assert [begun(rekognition) for _ in range(4)] == [NAME, f"{NAME}-g2", f"{NAME}-g3", f"{NAME}-g3"]
    assert fake_rekognition.calls["CreateProjectVersion"] == 3


def test_a_failed_training_of_something_else_under_the_name_is_refused(
    rekognition: Any, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.trainings.append(FAILED)
    begun(rekognition)
    (version,) = fake_rekognition.versions.values()
    version["TrainingDataResult"]["Input"] = {"Assets": []}
    with pytest.raises(training.TrainingError, match="trained on something else"):
        begun(rekognition)


@pytest.mark.parametrize("generation", [1, 2, 30])
def test_a_dag_and_the_command_give_a_generation_the_same_name(generation: int) -> None:
    name = training.generation_name(NAME, generation)
    assert name == of_dags.generation_name(NAME, generation)
    assert of_dags.is_generation(name, NAME)


@pytest.mark.parametrize(
    ("call", "code", "error", "told"),
    [
        ("DescribeProjects", "AccessDeniedException", training.TrainingError, "grant rekognition:Desc"),
        ("CreateProject", "AccessDeniedException", training.TrainingError, "rekognition:CreateProject,"),
        ("CreateProjectVersion", "AccessDeniedException", training.TrainingError, "CreateProjectVersion"),
        ("CreateProjectVersion", "LimitExceededException", training.TrainingsFullError, "begin again then"),
    ],
)
def test_what_aws_refuses_is_told_with_what_would_help(  # noqa: PLR0917 - fixtures
    call: str,
    code: str,
    error: type[Exception],
    told: str,
    rekognition: Any,
    fake_rekognition: FakeRekognition,
) -> None:
    fake_rekognition.fail_next(call, code)
    with pytest.raises(error, match=told):
        begun(rekognition)
    assert fake_rekognition.calls["CreateProjectVersion"] <= 1
    assert len(begun(rekognition)) > 0, "once it is granted, the same command trains"
