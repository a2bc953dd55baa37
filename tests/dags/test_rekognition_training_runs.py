"""One training for each request and generation, whatever dies, gets lost or is forgotten."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.execution_time.context import TaskStateStoreAccessor

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.projects.operators import (
    VERSION_KEY,
    RekognitionCreateProjectOperator,
    RekognitionCreateProjectVersionOperator,
    RekognitionDeleteProjectOperator,
    RekognitionDeleteProjectVersionOperator,
)
from rekognition.projects.sensors import RekognitionProjectVersionSensor
from support import airflow_runs
from support.each_once import each_once
from support.fake_rekognition import LOST, FakeRekognition
from support.watched_task import MODES, in_turn, kill_once

pytestmark = pytest.mark.usefixtures("airflow_db")

_numbers = itertools.count()


class Trained:
    """A Dag that makes a project and trains a version, and the exceptions its tries ended with."""

    def __init__(self, mode: str, **kwargs: Any) -> None:
        self.errors: list[BaseException] = []
        start = datetime(2026, 1, 1, tzinfo=UTC)
        with DAG(f"train_{next(_numbers)}", schedule=None, start_date=start) as self.dag:
            project = RekognitionCreateProjectOperator(task_id="project", project_name="cards")
            RekognitionCreateProjectVersionOperator(
                task_id="train",
                **{
                    "project_arn": project.output,
                    "training_uri": "s3://sets/a/training.jsonl",
                    "output_uri": "s3://sets/a/output",
                    "retries": 2,
                    "retry_delay": timedelta(0),
                    "poll_interval": 0.01,
                    "on_retry_callback": self._note,
                    "on_failure_callback": self._note,
                    **MODES[mode],
                    **kwargs,
                },
            )

    def _note(self, context: Any) -> None:
        self.errors.append(context["exception"])

    def run(self) -> None:
        self.dag_run = airflow_runs.run(self.dag)

    def clear(self) -> None:
        airflow_runs.clear_and_run(self.dag, self.dag_run, "train")

    @property
    def state(self) -> str:
        (ti,) = airflow_runs.instances(self.dag_run, "train")
        return str(ti.state)

    @property
    def returned(self) -> list[Any]:
        return airflow_runs.returned(self.dag_run, "train")


@each_once(
    "mode, death",
    ["sync", "deferrable"],
    {
        "before-create": (RekognitionHook, "create_version", False),
        "after-create": (RekognitionHook, "create_version", True),
        "before-set": (TaskStateStoreAccessor, "set", False),
        "after-set": (TaskStateStoreAccessor, "set", True),
    },
)
def test_a_killed_worker_never_leaves_a_second_training(
    mode: str,
    death: tuple[type, str, bool],
    monkeypatch: pytest.MonkeyPatch,
    fake_rekognition: FakeRekognition,
) -> None:
    owner, method, after = death
    kill_once(monkeypatch, owner, method, after=after)
    trained = Trained(mode)
    trained.run()
    assert trained.state == "success"
    assert trained.returned == list(fake_rekognition.versions)


def test_lost_answers_and_a_forgotten_task_state_start_no_second_training(
    fake_rekognition: FakeRekognition,
) -> None:
    fake_rekognition.fail_next("CreateProject", LOST)
    # So that the task, not the call, is what is tried again: the look-up has to find the training.
    fake_rekognition.fail_next("CreateProjectVersion", LOST, "AccessDeniedException")
    trained = Trained("sync")
    trained.run()
    airflow_runs.forget_state(trained.dag_run, [VERSION_KEY])
    trained.clear()
    assert trained.state == "success"
    assert trained.returned == list(fake_rekognition.versions)


@in_turn("sync", "deferrable")
def test_clearing_trains_anew_only_what_has_failed(mode: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.trainings.append(["TRAINING_FAILED"])
    trained = Trained(mode)
    trained.run()
    if mode == "no_wait":
        assert trained.state == "success"
    else:
        assert trained.state == "failed"
        assert [type(error) for error in trained.errors] == [exceptions.RekognitionTrainingFailed]
        assert fake_rekognition.status_message in str(trained.errors[0])
    trained.clear()
    trained.clear()
    assert trained.state == "success"
    first, second = fake_rekognition.versions
    assert trained.returned == [second]
    assert second.split("/")[3] == f"{first.split('/')[3]}-g2"


def test_a_version_that_somebody_deleted_is_not_paid_for_again_by_itself(
    fake_rekognition: FakeRekognition,
) -> None:
    trained = Trained("sync", retries=0)
    trained.run()
    fake_rekognition.versions.clear()
    trained.clear()
    assert trained.state == "failed"
    assert isinstance(trained.errors[0], exceptions.RekognitionVersionNotFound)
    assert not fake_rekognition.versions


def test_other_training_data_are_another_training_and_no_way_to_one_name(
    fake_rekognition: FakeRekognition,
) -> None:
    unnamed, named = Trained("sync"), Trained("sync", version_name="v1")
    for trained in (unnamed, named):
        trained.run()
        trained.dag.task_dict["train"].training_uri = "s3://sets/b/training.jsonl"
        trained.clear()
    assert (unnamed.state, named.state) == ("success", "failed")
    assert [type(error) for error in named.errors] == [exceptions.RekognitionNameTaken]
    assert len(fake_rekognition.versions) == 3


def test_two_runs_that_ask_for_one_name_share_one_training(fake_rekognition: FakeRekognition) -> None:
    first, second = Trained("sync", version_name="v1"), Trained("sync", version_name="v1")
    first.run()
    second.run()
    assert first.returned == second.returned == list(fake_rekognition.versions)


@each_once("deferrable, last", [False, True], ["TRAINING_COMPLETED", "TRAINING_FAILED"])
def test_a_version_is_waited_for_and_deleted_with_its_project(
    deferrable: bool, last: str, fake_rekognition: FakeRekognition
) -> None:
    hook = RekognitionHook(aws_conn_id=None)
    project = hook.find_or_create_project("cards")
    fake_rekognition.trainings.append(["TRAINING_IN_PROGRESS", last])
    request = {
        "ProjectArn": project,
        "VersionName": "v1",
        "OutputConfig": {"S3Bucket": "sets"},
        "TrainingData": {"Assets": []},
    }
    arn = hook.create_version(request)
    hook.conn.close()
    with DAG(f"end_{next(_numbers)}", schedule=None, start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        sense = RekognitionProjectVersionSensor(
            task_id="sense", project_version_arn=arn, poke_interval=0.01, timeout=240, deferrable=deferrable
        )
        delete = RekognitionDeleteProjectVersionOperator(
            task_id="delete", project_version_arn=arn, poll_interval=0.01, trigger_rule="all_done"
        )
        end = RekognitionDeleteProjectOperator(task_id="end", project_arn=project)
        sense >> delete >> end
    run = airflow_runs.run(dag)
    (sensed,) = airflow_runs.instances(run, "sense")
    assert str(sensed.state) == ("success" if last == "TRAINING_COMPLETED" else "failed")
    assert not fake_rekognition.projects
