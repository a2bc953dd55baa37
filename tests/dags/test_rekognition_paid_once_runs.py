"""One paid job for each manifest and generation, whatever dies, gets lost or is forgotten."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.execution_time.context import TaskStateStoreAccessor

from rekognition import exceptions
from rekognition.hooks import RekognitionHook
from rekognition.submission import JOB_ID_KEY, SUBMISSION_KEY
from support import airflow_runs
from support.fake_rekognition import LOST, FakeRekognition
from support.watched_task import MANIFEST, MODES, Watched, in_turn, kill_once

pytestmark = pytest.mark.usefixtures("airflow_db")


DEATHS: list[tuple[type, str, int, bool]] = [
    *((TaskStateStoreAccessor, "set", call, after) for call in (1, 2, 3, 4) for after in (False, True)),
]
WAYS = [("sync", True), ("sync", False), ("deferrable", False), ("no_wait", False)]


SHORT_FORCES = {("sync", 1), ("no_wait", 2)}


def each_death_in_each_way() -> list[Any]:
    """Each death where only its name finds the job; elsewhere that after the start, the rest if long."""
    made = []
    for mode, remembers_tokens in WAYS:
        for death in DEATHS:
            _, method, call, after = death
            is_short = (mode, remembers_tokens) == ("sync", False) or (call == 1 and after)
            when = f"{'after' if after else 'before'}-{method}-{call}"
            made.append(
                pytest.param(
                    mode,
                    remembers_tokens,
                    death,
                    id=f"{when}-{mode}-{remembers_tokens}",
                    marks=() if is_short else pytest.mark.long,
                )
            )
    return made


@pytest.mark.parametrize(("mode", "remembers_tokens", "death"), each_death_in_each_way())
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


@pytest.mark.parametrize(
    ("mode", "remembers_tokens"),
    [
        pytest.param(
            mode,
            known,
            id=f"token-{'known' if known else 'forgotten'}-{mode}",
            marks=pytest.mark.long if mode != "sync" and known else (),
        )
        for known in (True, False)
        for mode in MODES
    ],
)
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


@in_turn("no_wait")
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


@pytest.mark.slow
@in_turn("deferrable")
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


@in_turn("sync", "no_wait")
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


@pytest.mark.slow
@in_turn("deferrable")
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


@pytest.mark.parametrize(
    ("mode", "call"),
    [
        pytest.param(mode, call, marks=() if (mode, call) in SHORT_FORCES else pytest.mark.long)
        for mode in MODES
        for call in (1, 2)
    ],
)
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


@in_turn("sync")
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


@in_turn("deferrable")
def test_an_output_prefix_that_changes_on_each_try_is_paid_once(
    mode: str, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", LOST, "AccessDeniedException")
    watched = Watched(mode, output_uri="s3://out-bucket/try-{{ ti.try_number }}/")
    watched.run()
    assert watched.states == ["success"]
    assert watched.returned == list(fake_rekognition.jobs)


@pytest.mark.slow
@in_turn("no_wait")
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
