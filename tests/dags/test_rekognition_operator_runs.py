"""The operator inside real Dag runs: real state store, real triggers, jobs at a faulty service."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.models.dagrun import DagRun
from airflow.sdk import DAG
from airflow.sdk.execution_time.context import TaskStateStoreAccessor

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.retry_policy import rekognition_retry_policy
from rekognition.submission import JOB_ID_KEY, SUBMISSION_KEY
from support import airflow_runs
from support.fake_rekognition import LOST, FakeRekognition

pytestmark = pytest.mark.usefixtures("airflow_db")

MODES: dict[str, dict[str, Any]] = {
    "sync": {"deferrable": False},
    "deferrable": {"deferrable": True},
    "no_wait": {"deferrable": False, "wait_for_completion": False},
}
each_mode = pytest.mark.parametrize("mode", MODES)
MANIFEST = {"input_uri": "s3://in-bucket/m1.jsonl", "output_uri": "s3://out-bucket/m1/", "job_name": "m1"}
_numbers = itertools.count()


class Killed(BaseException):
    """The task process is no more: nothing but the metadata database and AWS knows what it did."""


class Watched:
    """A Dag of one task, and the exceptions its tries ended with."""

    def __init__(self, mode: str, *, mapped: list[dict[str, Any]] | None = None, **kwargs: Any) -> None:
        self.errors: list[BaseException] = []
        common = {
            "task_id": "analyse",
            "retries": 3,
            "retry_delay": timedelta(0),
            "poll_interval": 0.01,
            "on_retry_callback": self._note,
            "on_failure_callback": self._note,
            **MODES[mode],
        }
        params = {"manifest": "m1", "confidence": "55", "force": False}
        start = datetime(2026, 1, 1, tzinfo=UTC)
        dag_id = f"rekognition_{next(_numbers)}"
        with DAG(dag_id, schedule=None, start_date=start, params=params) as self.dag:
            operator = RekognitionStartMediaAnalysisJobOperator
            if mapped is None:
                operator(**{**common, **MANIFEST, **kwargs})
            else:
                operator.partial(**{**common, **kwargs}).expand_kwargs(mapped)

    def _note(self, context: Any) -> None:
        self.errors.append(context["exception"])

    def run(self, **conf: Any) -> DagRun:
        self.dag_run = airflow_runs.run(self.dag, run_conf=conf)
        return self.dag_run

    def clear(self) -> None:
        airflow_runs.clear_and_run(self.dag, self.dag_run, "analyse")

    @property
    def states(self) -> list[str]:
        return [str(ti.state) for ti in airflow_runs.instances(self.dag_run, "analyse")]

    @property
    def tries(self) -> list[int]:
        return [ti.try_number for ti in airflow_runs.instances(self.dag_run, "analyse")]

    @property
    def returned(self) -> list[Any]:
        return airflow_runs.returned(self.dag_run, "analyse")


def kill_once(
    monkeypatch: pytest.MonkeyPatch, owner: type, method: str, *, call: int = 1, after: bool = True
) -> None:
    """Let the process die right before or after the given call of a real method; later ones live."""
    real: Callable[..., Any] = getattr(owner, method)
    count = itertools.count(1)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        mine = next(count) == call
        if mine and not after:
            raise Killed(f"before {method}")
        answer = real(*args, **kwargs)
        if mine:
            raise Killed(f"after {method}")
        return answer

    monkeypatch.setattr(owner, method, wrapped)


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


@each_mode
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


DEATHS: list[tuple[type, str, int, bool]] = [
    (RekognitionHook, "start_media_analysis_job", 1, False),
    (RekognitionHook, "start_media_analysis_job", 1, True),
    *((TaskStateStoreAccessor, "set", call, after) for call in (1, 2, 3, 4) for after in (False, True)),
]


@pytest.mark.parametrize(
    ("mode", "remembers_tokens"), [("sync", True), ("sync", False), ("deferrable", False), ("no_wait", False)]
)
@pytest.mark.parametrize(
    "death",
    DEATHS,
    ids=[f"{'after' if after else 'before'}-{method}-{call}" for _, method, call, after in DEATHS],
)
def test_a_killed_worker_never_leaves_a_second_job(
    monkeypatch: pytest.MonkeyPatch,
    fake_rekognition: FakeRekognition,
    mode: str,
    remembers_tokens: bool,
    death: tuple[type, str, int, bool],
) -> None:
    owner, method, call, after = death
    fake_rekognition.remembers_tokens = remembers_tokens
    kill_once(monkeypatch, owner, method, call=call, after=after)
    watched = Watched(mode)
    watched.run()
    assert watched.states == ["success"]
    assert watched.tries == [2]
    assert watched.returned == list(fake_rekognition.jobs)


@each_mode
@pytest.mark.parametrize("remembers_tokens", [True, False], ids=["token-known", "token-forgotten"])
def test_a_lost_answer_never_starts_a_second_job(
    mode: str, remembers_tokens: bool, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.remembers_tokens = remembers_tokens
    fake_rekognition.fail_next("StartMediaAnalysisJob", LOST)
    if not remembers_tokens:
        # So that the task, not the call, is what is tried again: the search has to find the job.
        fake_rekognition.fail_next("StartMediaAnalysisJob", "AccessDeniedException")
    watched = Watched(mode)
    watched.run()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)


def test_without_the_right_to_list_jobs_the_token_still_holds(
    monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.always["ListMediaAnalysisJobs"] = "AccessDeniedException"
    kill_once(monkeypatch, RekognitionHook, "start_media_analysis_job")
    watched = Watched("sync")
    watched.run()
    assert watched.returned == list(fake_rekognition.jobs)


@each_mode
def test_a_state_store_cleaned_too_early_is_made_up_for_by_name(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.remembers_tokens = False
    watched = Watched(mode)
    watched.run()
    airflow_runs.forget_state(watched.dag_run, [SUBMISSION_KEY, JOB_ID_KEY])
    watched.clear()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)


@each_mode
def test_clearing_a_task_that_succeeded_pays_for_nothing(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode, mapped=[MANIFEST, {**MANIFEST, "input_uri": "s3://in-bucket/m2.jsonl"}])
    watched.run()
    before = watched.returned
    watched.clear()
    assert watched.states == ["success"] * 2
    assert watched.returned == before
    assert sorted(before) == sorted(fake_rekognition.jobs)
    assert fake_rekognition.calls["StartMediaAnalysisJob"] == 2


@pytest.mark.parametrize("mode", ["sync", "deferrable"])
@pytest.mark.parametrize("code", ["INTERNAL_ERROR", "THROTTLED"])
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


@each_mode
def test_the_next_generation_too_survives_a_killed_worker(
    mode: str, monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.remembers_tokens = False
    fake_rekognition.lives.append(["FAILED"])
    kill_once(monkeypatch, RekognitionHook, "start_media_analysis_job", call=2)
    watched = Watched(mode)
    watched.run()
    if mode == "no_wait":
        watched.clear()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2
    assert watched.returned == [list(fake_rekognition.jobs)[-1]]


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


@each_mode
def test_force_starts_a_new_job_once_per_clearing(
    mode: str, monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode, force_new_job="{{ params.force }}")
    watched.run(force=True)
    assert len(fake_rekognition.jobs) == 1
    # The forced start of the second round is interrupted; its retry must not force again.
    kill_once(monkeypatch, RekognitionHook, "start_media_analysis_job")
    watched.clear()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2
    assert watched.returned == [list(fake_rekognition.jobs)[-1]]


@each_mode
@pytest.mark.parametrize("call", [1, 2])
def test_a_force_interrupted_anywhere_is_carried_out_once(
    mode: str, call: int, monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode, force_new_job=True)
    watched.run()
    method = "delete" if call == 1 else "set"
    kill_once(monkeypatch, TaskStateStoreAccessor, method)
    watched.clear()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2
    assert watched.returned == [list(fake_rekognition.jobs)[-1]]


@each_mode
def test_another_manifest_at_the_same_place_gets_a_job_of_its_own(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode)
    watched.run()
    watched.dag.task_dict["analyse"].input_uri = "s3://in-bucket/other.jsonl"
    watched.clear()
    assert watched.states == ["success"]
    (other,) = watched.returned
    assert fake_rekognition.jobs[other]["Input"]["S3Object"]["Name"] == "other.jsonl"
    assert len(fake_rekognition.jobs) == 2


@each_mode
def test_an_output_prefix_that_changes_on_each_try_is_paid_once(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", LOST, "AccessDeniedException")
    watched = Watched(mode, output_uri="s3://out-bucket/try-{{ ti.try_number }}/")
    watched.run()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)


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


@each_mode
def test_a_full_job_quota_is_waited_for_within_one_try(mode: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", *["LimitExceededException"] * 5)
    watched = Watched(mode)
    watched.run()
    assert (watched.states, watched.tries) == (["success"], [1])
    assert len(fake_rekognition.jobs) == 1


@each_mode
def test_the_wait_for_a_job_slot_ends(mode: str, fake_rekognition: FakeRekognition) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = "LimitExceededException"
    watched = Watched(mode, start_timeout=0.1, retries=0)
    watched.run()
    assert watched.states == ["failed"]
    assert [type(error) for error in watched.errors] == [exceptions.RekognitionJobLimitReached]


@each_mode
def test_without_durability_each_try_is_a_job_of_its_own(
    mode: str, monkeypatch: pytest.MonkeyPatch, fake_rekognition: FakeRekognition
) -> None:
    kill_once(monkeypatch, RekognitionHook, "start_media_analysis_job")
    watched = Watched(mode, durable=False)
    watched.run()
    assert watched.states == ["success"]
    assert len(fake_rekognition.jobs) == 2


@each_mode
def test_a_job_that_aws_has_forgotten_is_not_paid_for_again_by_itself(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode, retries=1)
    watched.run()
    (job_id,) = fake_rekognition.jobs
    fake_rekognition.jobs.clear()
    watched.clear()
    assert watched.states == ["failed"]
    assert {type(error) for error in watched.errors} == {exceptions.RekognitionMediaAnalysisJobNotFound}
    assert job_id in str(watched.errors[0])
    assert "force_new_job" in str(watched.errors[0])
    assert not fake_rekognition.jobs


@each_mode
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
    mode: str, argument: str, value: Any, fake_rekognition: FakeRekognition
) -> None:
    watched = Watched(mode, **{argument: value})
    watched.run()
    assert (watched.states, watched.tries) == (["failed"], [1])
    (error,) = watched.errors
    assert isinstance(error, exceptions.RekognitionArgumentError)
    assert str(error).startswith(argument)
    assert not fake_rekognition.calls


@each_mode
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
