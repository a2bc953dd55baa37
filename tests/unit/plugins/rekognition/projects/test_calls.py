from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import BaseSerialization

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.projects import training
from rekognition.projects.triggers import RekognitionProjectVersionTrainedTrigger
from support.fake_rekognition import LOST, FakeRekognition


@pytest.fixture
def hook(fake_rekognition: FakeRekognition) -> Iterator[RekognitionHook]:
    made = RekognitionHook(aws_conn_id=None)
    yield made
    made.conn.close()


@pytest.fixture
def no_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused calls are repeated at once."""
    monkeypatch.setattr(tenacity.nap, "time", SimpleNamespace(sleep=lambda _: None))


def request(project_arn: str, **changed: Any) -> dict[str, Any]:
    arguments = {
        "project_arn": project_arn,
        "training_uri": "s3://sets/a/training.jsonl",
        "testing_uri": None,
        "output_uri": "s3://sets/a/output",
        "confidence_threshold": 50,
        "kms_key_id": None,
        "tags": None,
    }
    return {**training.request_body(**{**arguments, **changed}), "VersionName": "v1"}


@pytest.mark.parametrize("fault", [None, LOST, "InternalServerError", "ThrottlingException"])
def test_a_project_is_made_once_whatever_happens_to_the_answer(
    fault: str | None, hook: RekognitionHook, fake_rekognition: FakeRekognition, no_naps: None
) -> None:
    if fault:
        fake_rekognition.fail_next("CreateProject", fault)
    arn = hook.find_or_create_project("cards")
    assert hook.find_or_create_project("cards") == arn == fake_rekognition.projects["cards"]["ProjectArn"]


def test_a_project_of_another_feature_is_not_taken_for_one_of_adapters(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.CreateProject(
        {"ProjectName": "cards", "Feature": "CUSTOM_LABELS", "AutoUpdate": "DISABLED"}
    )
    with pytest.raises(exceptions.RekognitionNameTaken, match="another project_name"):
        hook.find_or_create_project("cards")


@pytest.mark.parametrize(("asked", "ends_well"), [(None, True), (True, True), (False, False)])
def test_auto_update_cannot_be_asked_for_otherwise_than_it_is(
    asked: bool | None, ends_well: bool, hook: RekognitionHook
) -> None:
    arn = hook.find_or_create_project("cards", auto_update=True)
    if ends_well:
        assert hook.find_or_create_project("cards", auto_update=asked) == arn
        return
    with pytest.raises(exceptions.RekognitionNameTaken, match="cannot be changed"):
        hook.find_or_create_project("cards", auto_update=asked)


@pytest.mark.parametrize("fault", [LOST, "InternalServerError"])
def test_a_lost_answer_starts_no_second_training(
    fault: str, hook: RekognitionHook, fake_rekognition: FakeRekognition, no_naps: None
) -> None:
    fake_rekognition.fail_next("CreateProjectVersion", fault)
    arn = hook.create_version(request(hook.find_or_create_project("cards")))
    assert [arn] == list(fake_rekognition.versions)


def test_a_name_that_another_training_has_is_no_second_way_to_it(hook: RekognitionHook) -> None:
    project = hook.find_or_create_project("cards")
    hook.create_version(request(project))
    with pytest.raises(exceptions.RekognitionNameTaken, match="another training"):
        hook.create_version(request(project, training_uri="s3://sets/b/training.jsonl"))


@pytest.mark.parametrize("unknown_is_an_error", [False, True])
def test_a_version_that_does_not_exist_is_told_from_a_project_that_does_not(
    unknown_is_an_error: bool, hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.unknown_version_is_an_error = unknown_is_an_error
    project = hook.find_or_create_project("cards")
    arn = hook.create_version(request(project))
    assert set(hook.describe_versions(project, ["v1", "v1-g2"])) == {"v1"}
    assert hook.find_version(arn.replace("v1", "v2")) is None
    with pytest.raises(exceptions.RekognitionRequestInvalid, match="no such project"):
        hook.describe_versions(project.replace("cards", "other"), ["v1", "v2"])


def test_a_failed_training_is_told_in_the_words_of_aws(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.trainings.append(["TRAINING_IN_PROGRESS", "TRAINING_FAILED"])
    project = hook.find_or_create_project("cards")
    arn = hook.create_version(request(project))
    with pytest.raises(exceptions.RekognitionTrainingFailed) as caught:
        hook.wait_for_version(project, "v1", interval=0.01, timeout=240)
    assert (
        str(caught.value) == f"Adapter version {arn} is TRAINING_FAILED: line 7: the label Wepons is unknown"
    )


def test_a_training_that_never_ends_is_waited_for_no_longer_than_asked(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.trainings.append(["TRAINING_IN_PROGRESS"])
    project = hook.find_or_create_project("cards")
    hook.create_version(request(project))
    with pytest.raises(exceptions.RekognitionTrainingTimeout, match="goes on at AWS"):
        hook.wait_for_version(project, "v1", interval=0.01, timeout=0.05)


def test_a_version_is_deleted_once_and_then_its_project(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.trainings.append(["TRAINING_COMPLETED"])
    project = hook.find_or_create_project("cards")
    arn = hook.create_version(request(project))
    with pytest.raises(exceptions.RekognitionResourceInUse):
        hook.delete_project(project)
    hook.delete_version(arn)
    hook.wait_until_gone(arn, interval=0.01, timeout=240)
    hook.delete_version(arn)
    hook.delete_project(project)
    hook.delete_project(project)
    assert not fake_rekognition.projects


def trigger(project: str, arn: str, *, seconds_left: float = 30) -> RekognitionProjectVersionTrainedTrigger:
    return RekognitionProjectVersionTrainedTrigger(
        project_arn=project,
        project_version_arn=arn,
        poll_interval=0.01,
        deadline=(datetime.now(UTC) + timedelta(seconds=seconds_left)).isoformat(),
        aws_conn_id=None,
    )


@pytest.mark.parametrize(
    ("life", "seconds_left", "told"),
    [
        (["TRAINING_IN_PROGRESS", "TRAINING_COMPLETED"], 30, "success"),
        (["DEPRECATED"], 30, "success"),
        (["TRAINING_FAILED"], 30, "RekognitionTrainingFailed"),
        (["EXPIRED"], 30, "RekognitionTrainingFailed"),
        (["TRAINING_IN_PROGRESS"], 0.05, "RekognitionTrainingTimeout"),
    ],
)
async def test_the_trigger_tells_how_a_training_ended(
    life: list[str],
    seconds_left: float,
    told: str,
    hook: RekognitionHook,
    fake_rekognition: FakeRekognition,
) -> None:
    fake_rekognition.trainings.append(life)
    project = hook.find_or_create_project("cards")
    arn = hook.create_version(request(project))
    (event,) = [event.payload async for event in trigger(project, arn, seconds_left=seconds_left).run()]
    assert told in (event["status"], event.get("error"))


def test_the_trigger_survives_serialization_whole() -> None:
    made = trigger("arn:p", "arn:aws:rekognition:us-east-1:123456789012:project/cards/version/v1/1")
    path, stored = made.serialize()
    sent = BaseSerialization.deserialize(BaseSerialization.serialize(stored))
    assert import_string(path)(**sent).serialize() == (path, stored)
