"""The operator inside real Dag runs: real state store, real triggers, jobs at a faulty service."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import Any

import pytest

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.retry_policy import rekognition_retry_policy
from support.fake_rekognition import FakeRekognition
from support.watched_task import MANIFEST, Watched, each_mode, in_turn, kill_once

pytestmark = pytest.mark.usefixtures("airflow_db")


@each_mode
def test_a_run_starts_one_job_and_returns_its_id(mode: str, fake_rekognition: FakeRekognition) -> None:
    watched = Watched(mode)
    watched.run()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)
    (job,) = fake_rekognition.jobs.values()
    assert job["JobName"].startswith("m1-g1-")
    assert job["Input"]["S3Object"] == {"Bucket": "in-bucket", "Name": "m1.jsonl"}
    # A first try has nothing to search for; List has the smallest quota.
    assert fake_rekognition.calls["ListMediaAnalysisJobs"] == 0


@pytest.mark.slow
@in_turn("deferrable")
def test_each_manifest_of_a_mapped_task_gets_its_own_job(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    manifests = [
        {"input_uri": f"s3://in-bucket/{n}.jsonl", "output_uri": f"s3://out-bucket/{n}/", "job_name": f"m{n}"}
        for n in range(3)
    ]
    watched = Watched(mode, mapped=manifests, min_confidence="{{ params.confidence }}")
    watched.run()
    assert watched.states == ["success"] * 3
    for number, job_id in enumerate(watched.returned):
        job = fake_rekognition.jobs[job_id]
        assert job["JobName"].startswith(f"m{number}-g1-")
        assert job["Input"]["S3Object"]["Name"] == f"{number}.jsonl"
        assert job["OutputConfig"] == {"S3Bucket": "out-bucket", "S3KeyPrefix": f"{number}/"}
        assert job["OperationsConfig"] == {"DetectModerationLabels": {"MinConfidence": 55.0}}


@pytest.mark.parametrize(
    ("code", "mode"),
    [
        ("INTERNAL_ERROR", "sync"),
        ("THROTTLED", "deferrable"),
        pytest.param("INTERNAL_ERROR", "deferrable", marks=pytest.mark.long),
        pytest.param("THROTTLED", "sync", marks=pytest.mark.long),
    ],
)
def test_a_retry_after_a_failed_job_starts_the_next_generation(
    mode: str, code: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.failure = {"Code": code, "Message": "come again"}
    fake_rekognition.lives.extend([["IN_PROGRESS", "FAILED"], ["FAILED"]])
    watched = Watched(mode)
    watched.run()
    assert watched.states == ["success"]
    assert watched.tries == [3]
    names = [job["JobName"].split("-")[1] for job in fake_rekognition.jobs.values()]
    assert names == ["g1", "g2", "g3"]
    assert watched.returned == [list(fake_rekognition.jobs)[-1]]
    assert [type(error) for error in watched.errors] == [exceptions.RekognitionMediaAnalysisJobFailed] * 2
    assert all(code in str(error) and "come again" in str(error) for error in watched.errors)


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_permanent_failure_fails_the_task_now_and_a_person_may_clear_it(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.failure = {"Code": "INVALID_MANIFEST", "Message": "line 7 is no JSON"}
    fake_rekognition.lives.append(["FAILED"])
    watched = Watched(mode)
    watched.run()
    assert (watched.states, watched.tries) == (["failed"], [1])
    (error,) = watched.errors
    assert isinstance(error, exceptions.RekognitionMediaAnalysisJobFailed)
    assert (error.code, error.message) == ("INVALID_MANIFEST", "line 7 is no JSON")
    assert [error.job_id] == list(fake_rekognition.jobs)
    watched.clear()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
def test_a_try_that_ran_out_of_time_is_followed_by_one_that_reconnects(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.lives.append(["IN_PROGRESS"] * 6 + ["SUCCEEDED"])
    watched = Watched(mode, wait_timeout=0.01, retries=8)
    watched.run()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)
    assert {type(error) for error in watched.errors} == {exceptions.RekognitionMediaAnalysisJobTimeout}


@in_turn("sync", "deferrable")
def test_a_full_job_quota_is_waited_for_within_one_try(mode: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", *["LimitExceededException"] * 5)
    watched = Watched(mode)
    watched.run()
    assert (watched.states, watched.tries) == (["success"], [1])
    assert len(fake_rekognition.jobs) == 1


@in_turn("sync", "deferrable")
def test_the_wait_for_a_job_slot_ends(mode: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = "LimitExceededException"
    watched = Watched(mode, start_timeout=0.1, retries=0)
    watched.run()
    assert watched.states == ["failed"]
    assert [type(error) for error in watched.errors] == [exceptions.RekognitionJobLimitReached]


def test_every_wait_in_the_triggerer_ends_even_if_the_triggerer_never_comes_back(
    fake_rekognition: FakeRekognition, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: dict[str, timedelta | None] = {}
    defer = RekognitionStartMediaAnalysisJobOperator.defer

    def noted(self: Any, *, method_name: str, timeout: timedelta | None = None, **kwargs: Any) -> None:
        waits[method_name] = timeout
        defer(self, method_name=method_name, timeout=timeout, **kwargs)

    monkeypatch.setattr(RekognitionStartMediaAnalysisJobOperator, "defer", noted)
    fake_rekognition.fail_next("StartMediaAnalysisJob", "LimitExceededException")
    watched = Watched("deferrable", start_timeout=600, wait_timeout=900)
    watched.run()
    assert watched.states == ["success"]
    slack = timedelta(minutes=5)
    assert waits["execute_complete"] == timedelta(seconds=900) + slack
    assert (
        timedelta(seconds=590) + slack
        < (waits["start_again"] or timedelta(0))
        <= timedelta(seconds=600) + slack
    )


@in_turn("sync")
def test_without_durability_each_try_is_a_job_of_its_own(
    mode: str, monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    kill_once(monkeypatch, RekognitionHook, "start_media_analysis_job")
    watched = Watched(mode, durable=False)
    watched.run()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("min_confidence", 150),
        ("min_confidence", "{{ 'many' }}"),
        ("job_name", "not a name"),
        ("job_name", "n" * 65),
        ("project_version_arn", "arn:aws:rekognition:eu-west-1:1:project/x"),
        ("output_uri", "s3://out-bucket/white space/"),
        ("input_uri", "s3://in-bucket/folder/"),
        ("kms_key_id", "!"),
    ],
)
def test_a_bad_argument_is_refused_by_name_before_any_call(
    argument: str, value: Any, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched("sync", **{argument: value})
    watched.run()
    assert (watched.states, watched.tries) == (["failed"], [1])
    (error,) = watched.errors
    assert isinstance(error, exceptions.RekognitionArgumentError)
    assert str(error).startswith(argument)
    assert not fake_rekognition.calls


@in_turn("deferrable")
def test_a_refusal_for_ever_fails_at_once_under_the_retry_policy(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = "AccessDeniedException"
    watched = Watched(mode, retry_policy=rekognition_retry_policy())
    watched.run()
    assert (watched.states, watched.tries) == (["failed"], [1])
    assert fake_rekognition.calls["StartMediaAnalysisJob"] == 1


def test_each_template_field_is_an_argument_set_by_the_constructor() -> None:
    operator = RekognitionStartMediaAnalysisJobOperator(task_id="analyse", **MANIFEST)
    accepted = set()
    for cls in type(operator).__mro__:
        accepted |= set(inspect.signature(cls.__init__).parameters)
    for field in operator.template_fields:
        assert hasattr(operator, field)
        assert field in accepted
    assert {"input_uri", "output_uri", "job_name", "min_confidence"} <= set(operator.template_fields)


@pytest.mark.parametrize("argument", ["poll_interval", "wait_timeout", "start_timeout"])
def test_a_time_is_given_in_time_units(argument: str) -> None:
    for value in (90, timedelta(seconds=90)):
        made = RekognitionStartMediaAnalysisJobOperator(task_id="a", **MANIFEST, **{argument: value})
        assert getattr(made, argument) == 90
    with pytest.raises(ValueError, match=argument):
        RekognitionStartMediaAnalysisJobOperator(task_id="a", **MANIFEST, **{argument: 0})
