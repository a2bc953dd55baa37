from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
from airflow.sdk.module_loading import import_string
from airflow.serialization.serialized_objects import BaseSerialization

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.triggers import (
    RekognitionJobSlotTrigger,
    RekognitionJobStartTrigger,
    RekognitionMediaAnalysisJobCompletedTrigger,
)
from support.fake_rekognition import LOST, FakeRekognition

FULL: dict[str, Any] = {
    "job_id": "job-1",
    "poll_interval": 7.5,
    "deadline": "2026-11-22T10:00:00+00:00",
    "aws_conn_id": "my_aws",
    "region_name": "eu-west-1",
    "verify": False,
    "botocore_config": {"read_timeout": 10},
}

REQUEST: dict[str, Any] = {
    "Input": {"S3Object": {"Bucket": "bucket", "Name": "m"}},
    "OutputConfig": {"S3Bucket": "bucket"},
    "OperationsConfig": {"DetectModerationLabels": {}},
    "ClientRequestToken": "t",
}


def trigger(job_id: str, *, seconds_left: float = 30) -> RekognitionMediaAnalysisJobCompletedTrigger:
    deadline = datetime.now(UTC) + timedelta(seconds=seconds_left)
    return RekognitionMediaAnalysisJobCompletedTrigger(
        job_id=job_id, poll_interval=0.01, deadline=deadline.isoformat(), aws_conn_id=None
    )


async def event_of(made: RekognitionMediaAnalysisJobCompletedTrigger) -> dict[str, Any]:
    events = [event async for event in made.run()]
    assert len(events) == 1
    return dict(events[0].payload)


@pytest.fixture
def job_id(fake_rekognition: FakeRekognition) -> Iterator[str]:
    hook = RekognitionHook(aws_conn_id=None)
    yield hook.conn.start_media_analysis_job(
        Input={"S3Object": {"Bucket": "bucket", "Name": "m"}},
        OutputConfig={"S3Bucket": "bucket"},
        OperationsConfig={"DetectModerationLabels": {}},
        ClientRequestToken="t",
    )["JobId"]
    hook.conn.close()


@pytest.mark.parametrize(
    "kwargs", [FULL, {k: FULL[k] for k in ("job_id", "poll_interval", "deadline")} | {"aws_conn_id": None}]
)
def test_a_trigger_survives_serialization_whole(kwargs: dict[str, Any]) -> None:
    path, stored = RekognitionMediaAnalysisJobCompletedTrigger(**kwargs).serialize()
    sent = BaseSerialization.deserialize(BaseSerialization.serialize(stored))
    again = import_string(path)(**sent)
    assert type(again) is RekognitionMediaAnalysisJobCompletedTrigger
    assert again.serialize() == (path, stored)
    for name, value in kwargs.items():
        assert getattr(again, name) == value


def test_the_hook_of_a_trigger_gets_all_that_the_operator_was_given() -> None:
    hook = RekognitionMediaAnalysisJobCompletedTrigger(**FULL).hook()
    given = (hook.aws_conn_id, hook._region_name, hook._verify, hook._config)
    assert given[:3] == ("my_aws", "eu-west-1", False)
    assert given[3].read_timeout == 10


async def test_a_job_that_succeeds_is_told(job_id: str) -> None:
    assert await event_of(trigger(job_id)) == {"status": "success", "job_id": job_id}


async def test_the_failure_code_and_message_of_a_job_are_told(
    fake_rekognition: FakeRekognition, job_id: str
) -> None:
    fake_rekognition.jobs[job_id]["_life"] = ["FAILED"]
    fake_rekognition.failure = {"Code": "INVALID_MANIFEST", "Message": "line 3"}
    error = exceptions.from_event(await event_of(trigger(job_id)))
    assert type(error) is exceptions.RekognitionMediaAnalysisJobFailedPermanently
    assert (error.code, error.message, error.job_id) == ("INVALID_MANIFEST", "line 3", job_id)


async def test_a_restarted_triggerer_keeps_to_the_old_deadline(
    fake_rekognition: FakeRekognition, job_id: str
) -> None:
    fake_rekognition.jobs[job_id]["_life"] = ["IN_PROGRESS"]
    error = exceptions.from_event(await event_of(trigger(job_id, seconds_left=-3600)))
    assert type(error) is exceptions.RekognitionMediaAnalysisJobTimeout
    assert "IN_PROGRESS" in str(error)


async def test_a_job_that_ended_while_the_triggerer_was_down_is_found(job_id: str) -> None:
    for _ in range(3):
        await event_of(trigger(job_id, seconds_left=-3600))
    assert await event_of(trigger(job_id, seconds_left=-3600)) == {"status": "success", "job_id": job_id}


async def test_a_refused_look_is_told_by_its_name(fake_rekognition: FakeRekognition, job_id: str) -> None:
    fake_rekognition.always["GetMediaAnalysisJob"] = "AccessDeniedException"
    error = exceptions.from_event(await event_of(trigger(job_id)))
    assert type(error) is exceptions.RekognitionAccessDenied


async def test_a_call_that_never_returns_ends_with_the_wait(
    monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition, job_id: str
) -> None:
    monkeypatch.setattr("rekognition.hooks._CALL_PATIENCE", 0.05)
    with fake_rekognition._lock:
        error = exceptions.from_event(await event_of(trigger(job_id, seconds_left=0.05)))
    assert type(error) is exceptions.RekognitionMediaAnalysisJobTimeout
    assert "no answer" in str(error)


async def test_the_wait_for_a_slot_survives_serialization_and_hands_its_end_on() -> None:
    given = {"moment": "2026-01-01T00:00:00+00:00", "start_by": "2026-01-02T00:00:00+00:00"}
    path, kwargs = RekognitionJobSlotTrigger(**given).serialize()
    assert kwargs == given
    events = [event.payload async for event in import_string(path)(**kwargs).run()]
    assert events == [{"start_by": given["start_by"]}]


def starting(request: dict[str, Any], *, seconds_left: float) -> RekognitionJobStartTrigger:
    start_by = datetime.now(UTC) + timedelta(seconds=seconds_left)
    made = RekognitionJobStartTrigger(
        request=request, interval=0.01, start_by=start_by.isoformat(), aws={"aws_conn_id": None}
    )
    path, stored = made.serialize()
    again = import_string(path)(**BaseSerialization.deserialize(BaseSerialization.serialize(stored)))
    assert again.serialize() == (path, stored)
    return cast(RekognitionJobStartTrigger, again)


async def test_a_triggerer_that_is_restarted_while_it_asks_for_a_slot_starts_one_job(
    fake_rekognition: FakeRekognition,
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", *["LimitExceededException"] * 3, LOST)
    made = starting(REQUEST, seconds_left=30)
    events = [event.payload for asked in (made, made) async for event in asked.run()]
    (job_id,) = fake_rekognition.jobs
    assert [event["job_id"] for event in events] == [job_id, job_id]
    assert events[0]["start_by"] == made.start_by
    assert events[0]["refused"] == {"moderation.job_limit_waits": 3}


@pytest.mark.parametrize("code", ["LimitExceededException", "AccessDeniedException"])
async def test_a_slot_that_is_never_free_and_a_refusal_are_told_to_the_task(
    fake_rekognition: FakeRekognition, code: str
) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = code
    (event,) = [event.payload async for event in starting(REQUEST, seconds_left=0.05).run()]
    assert exceptions.from_event(event).code == code
    assert not fake_rekognition.jobs


async def test_throttled_looks_are_told_to_the_task_which_counts_them(
    job_id: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.fail_next("GetMediaAnalysisJob", "ThrottlingException", "InternalServerError")
    event = await event_of(trigger(job_id))
    assert event == {"status": "success", "job_id": job_id, "refused": {"moderation.throttles": 1}}
