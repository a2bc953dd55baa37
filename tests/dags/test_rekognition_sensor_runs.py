"""The sensor inside real Dag runs."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, AirflowSensorTimeout

from rekognition import exceptions
from rekognition.sensors import RekognitionMediaAnalysisJobSensor
from rekognition.waiters.states import job_states
from support import airflow_runs
from support.each_once import each_once
from support.fake_rekognition import LOST, FakeRekognition

pytestmark = pytest.mark.usefixtures("airflow_db")

MODES: dict[str, dict[str, Any]] = {
    "poke": {"deferrable": False},
    "deferrable": {"deferrable": True},
}
each_mode = pytest.mark.parametrize("mode", MODES)
_numbers = itertools.count()


def sense(
    fake: FakeRekognition, mode: str, life: list[str], **kwargs: Any
) -> tuple[str, list[BaseException]]:
    """Run a sensor on a job with this life; give its final state and what it raised."""
    fake.jobs["job-1"] = {
        "JobId": "job-1",
        "OperationsConfig": {},
        "Input": {"S3Object": {}},
        "OutputConfig": {"S3Bucket": "out-bucket"},
        "CreationTimestamp": 0,
        "_life": list(life),
    }
    errors: list[BaseException] = []
    start = datetime(2026, 1, 1, tzinfo=UTC)
    dag_id = f"rekognition_sensor_{next(_numbers)}"
    with DAG(dag_id, schedule=None, start_date=start, params={"job": "job-1"}) as dag:
        RekognitionMediaAnalysisJobSensor(
            task_id="sense",
            poke_interval=timedelta(milliseconds=10),
            on_failure_callback=lambda context: errors.append(context["exception"]),
            **{"job_id": "{{ params.job }}", "timeout": 20, **MODES[mode], **kwargs},
        )
    run = airflow_runs.run(dag)
    (instance,) = airflow_runs.instances(run, "sense")
    return str(instance.state), errors


@each_once("mode, status", [*MODES], sorted(job_states().active))
def test_an_active_job_is_waited_for(mode: str, status: str, fake_rekognition: FakeRekognition) -> None:
    assert sense(fake_rekognition, mode, [status, status, "SUCCEEDED"]) == ("success", [])


@each_mode
def test_a_job_that_has_succeeded_is_seen_at_the_first_look(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    assert sense(fake_rekognition, mode, ["SUCCEEDED"]) == ("success", [])
    assert fake_rekognition.calls["GetMediaAnalysisJob"] == 1


@each_once(
    "mode, code, life",
    [*MODES],
    ["INVALID_MANIFEST", "INTERNAL_ERROR"],
    {"now": ["FAILED"], "later": ["IN_PROGRESS", "IN_PROGRESS", "FAILED"]},
)
def test_a_failed_job_fails_the_sensor_with_code_and_message(
    mode: str, code: str, life: list[str], fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.failure = {"Code": code, "Message": "line 7"}
    state, (error,) = sense(fake_rekognition, mode, life)
    assert state == "failed"
    assert isinstance(error, exceptions.RekognitionMediaAnalysisJobFailed)
    assert (error.code, error.message, error.job_id) == (code, "line 7", "job-1")
    assert isinstance(error, AirflowFailException) is (code == "INVALID_MANIFEST")


@each_once("mode, fault", [*MODES], ["ThrottlingException", "InternalServerError", LOST])
def test_a_disturbed_look_is_taken_again(mode: str, fault: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.fail_next("GetMediaAnalysisJob", None, fault)
    assert sense(fake_rekognition, mode, ["CREATED", "SUCCEEDED"]) == ("success", [])


@each_mode
def test_a_sensor_gives_up_with_its_time(mode: str, fake_rekognition: FakeRekognition) -> None:
    state, (error,) = sense(fake_rekognition, mode, ["IN_PROGRESS"], timeout=timedelta(seconds=0.1))
    assert state == "failed"
    assert isinstance(error, AirflowSensorTimeout)


@each_once(
    "mode, life",
    [*MODES],
    {"now": ["FAILED"], "later": ["IN_PROGRESS", "FAILED"], "never": ["IN_PROGRESS"]},
)
def test_a_sensor_that_may_fail_softly_is_skipped(
    mode: str, life: list[str], fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.failure = {"Code": "INVALID_MANIFEST", "Message": "line 7"}
    state, _ = sense(fake_rekognition, mode, life, soft_fail=True, timeout=0.1)
    assert state == "skipped"


@each_mode
def test_an_unknown_job_is_named(mode: str, fake_rekognition: FakeRekognition) -> None:
    state, (error,) = sense(fake_rekognition, mode, ["CREATED"], job_id="other-job")
    assert state == "failed"
    assert isinstance(error, exceptions.RekognitionMediaAnalysisJobNotFound)
    assert "other-job" in str(error)


def test_the_template_fields_are_arguments() -> None:
    sensor = RekognitionMediaAnalysisJobSensor(task_id="sense", job_id="job-1")
    assert "job_id" in sensor.template_fields
    assert all(hasattr(sensor, field) for field in sensor.template_fields)
