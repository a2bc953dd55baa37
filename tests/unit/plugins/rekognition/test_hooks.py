from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from botocore.stub import Stubber

from rekognition import exceptions, hooks, patience
from rekognition.hooks import RekognitionHook
from rekognition.waiters.clock import SYSTEM
from rekognition.waiters.states import WAITERS_FILE
from support import statsd_listener
from support.fake_rekognition import LOST, FakeRekognition

WAITERS = json.loads(WAITERS_FILE.read_text())["waiters"]["media_analysis_job_complete"]["acceptors"]
REQUEST: dict[str, Any] = {
    "Input": {"S3Object": {"Bucket": "bucket", "Name": "manifest.jsonl"}},
    "OutputConfig": {"S3Bucket": "bucket", "S3KeyPrefix": "out"},
    "OperationsConfig": {"DetectModerationLabels": {"MinConfidence": 50.0}},
    "JobName": "job-g1-12345678",
    "ClientRequestToken": "t" * 64,
}


class Passing:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.naps: list[float] = []
        self.clock = replace(SYSTEM, monotonic=lambda: self.now, sleep=self.sleep)

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        # A sleep of nothing still takes a moment, as in the world: a loop without pause ends too.
        self.now += max(seconds, 0.001)


@pytest.fixture
def hook(fake_rekognition: FakeRekognition) -> Iterator[RekognitionHook]:
    hook = RekognitionHook(aws_conn_id=None)
    yield hook
    hook.conn.close()


@pytest.fixture
def clock(hook: RekognitionHook) -> Passing:
    """By which the hook waits."""
    passing = Passing()
    hook.clock = passing.clock  # type: ignore[misc]
    return passing


async def wait(hook: RekognitionHook, job_id: str, *, mode: str, interval: float, timeout: float) -> None:
    if mode == "sync":
        hook.wait_for_job(job_id, interval=interval, timeout=timeout)
        return
    async with await hook.get_async_conn() as client:
        await hook.async_wait_for_job(client, job_id, interval=interval, timeout=timeout)


both_modes = pytest.mark.parametrize("mode", ["sync", "async"])


@pytest.mark.parametrize("timeout", [60, timedelta(minutes=1)], ids=["seconds", "timedelta"])
def test_the_waiter_table_of_this_package_is_found(hook: RekognitionHook, timeout: timedelta | float) -> None:
    assert "media_analysis_job_complete" in hook.list_waiters()
    job_id = hook.start_media_analysis_job(REQUEST, timeout=timeout)
    assert hook.describe_job(job_id)["Status"] == "CREATED"
    assert "ResponseMetadata" not in hook.describe_job(job_id)


@both_modes
@pytest.mark.parametrize("acceptor", WAITERS, ids=lambda a: a["expected"])
async def test_each_state_of_the_table_ends_or_goes_on_as_it_says(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, acceptor: dict[str, str], mode: str
) -> None:
    fake_rekognition.lives.append([acceptor["expected"]])
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    if acceptor["state"] == "success":
        await wait(hook, job_id, mode=mode, interval=0.01, timeout=0.05)
        return
    expected = {
        "retry": exceptions.RekognitionMediaAnalysisJobTimeout,
        "failure": exceptions.RekognitionMediaAnalysisJobFailed,
    }[acceptor["state"]]
    with pytest.raises(expected, match=job_id):
        await wait(hook, job_id, mode=mode, interval=0.01, timeout=0.05)


@both_modes
async def test_a_state_unknown_to_the_table_is_waited_out(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, mode: str
) -> None:
    fake_rekognition.lives.append(["PAUSED", "SUCCEEDED"])
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    await wait(hook, job_id, mode=mode, interval=0.01, timeout=10)


@both_modes
@pytest.mark.parametrize("code", ["ThrottlingException", "InternalServerError"])
async def test_a_service_that_refuses_for_ever_is_not_asked_for_ever(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, code: str, mode: str
) -> None:
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    fake_rekognition.always["GetMediaAnalysisJob"] = code
    with pytest.raises(exceptions.RekognitionError, match=code):
        await wait(hook, job_id, mode=mode, interval=0.02, timeout=0.1)


def test_the_last_look_at_a_job_falls_on_the_deadline(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing
) -> None:
    fake_rekognition.lives.append(["IN_PROGRESS"])
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    begun = clock.now
    with pytest.raises(exceptions.RekognitionMediaAnalysisJobTimeout, match=r"1:40:00.*IN_PROGRESS"):
        hook.wait_for_job(job_id, interval=60, timeout=6000)
    assert clock.now - begun == pytest.approx(6000, abs=1)
    assert all(nap <= 72 for nap in clock.naps[:-1])
    assert all(nap >= 60 for nap in clock.naps[-50:-1])


@both_modes
@pytest.mark.parametrize("fault", ["ThrottlingException", "InternalServerError", LOST])
async def test_a_disturbed_look_is_taken_again(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, fault: str, mode: str
) -> None:
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    fake_rekognition.fail_next("GetMediaAnalysisJob", fault, fault, None, fault)
    await wait(hook, job_id, mode=mode, interval=0.01, timeout=30)


@both_modes
async def test_a_refusal_that_no_time_heals_ends_the_wait_at_once(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, mode: str
) -> None:
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    fake_rekognition.always["GetMediaAnalysisJob"] = "AccessDeniedException"
    with pytest.raises(exceptions.RekognitionAccessDenied):
        await wait(hook, job_id, mode=mode, interval=0.01, timeout=30)
    assert fake_rekognition.calls["GetMediaAnalysisJob"] == 1


@both_modes
async def test_a_job_nobody_knows_is_named(hook: RekognitionHook, mode: str) -> None:
    with pytest.raises(exceptions.RekognitionMediaAnalysisJobNotFound, match="nojob"):
        await wait(hook, "nojob", mode=mode, interval=0.01, timeout=1)


def test_a_lost_answer_to_start_does_not_start_twice(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", LOST, "ThrottlingException")
    job_id = hook.start_media_analysis_job(REQUEST, timeout=60)
    assert list(fake_rekognition.jobs) == [job_id]
    assert fake_rekognition.calls["StartMediaAnalysisJob"] == 3


def test_an_answer_without_a_job_id_is_as_good_as_lost(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, garbled = fake_rekognition.StartMediaAnalysisJob, iter([True])

    def answer(request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        status, told = start(request)
        return status, {} if next(garbled, False) else told

    monkeypatch.setattr(fake_rekognition, "StartMediaAnalysisJob", answer)
    job_id = hook.start_media_analysis_job(REQUEST, timeout=30)
    assert [job_id] == list(fake_rekognition.jobs)


def test_a_full_job_quota_is_waited_for(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", *["LimitExceededException"] * 4)
    hook.start_media_analysis_job(REQUEST, timeout=600, limit_interval=30)
    assert all(2.5 <= nap <= 7.5 for nap in clock.naps)
    assert len(clock.naps) == 4


@pytest.mark.parametrize(("interval", "most"), [(30, 45), (1, 1.5)])
def test_a_job_slot_is_asked_for_more_seldom_the_longer_it_is_not_there(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing, interval: float, most: float
) -> None:
    fake_rekognition.fail_next("StartMediaAnalysisJob", *["LimitExceededException"] * 120)
    hook.start_media_analysis_job(REQUEST, timeout=7200, limit_interval=interval)
    assert all(nap <= most for nap in clock.naps)
    assert all(interval / 2 <= nap for nap in clock.naps[-10:])


@pytest.mark.parametrize("seconds", [20.0, 100.0, 2000.0])
def test_the_end_of_a_job_is_seen_within_a_twentieth_of_its_time(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing, seconds: float
) -> None:
    job_id = hook.start_media_analysis_job(REQUEST, timeout=10)
    fake_rekognition.jobs[job_id]["_life"] = ["IN_PROGRESS"] * 1000 + ["SUCCEEDED"]
    naps: list[float] = []

    def pass_by(nap: float) -> None:
        naps.append(nap)
        clock.now += nap
        if clock.now >= 1000.0 + seconds:
            fake_rekognition.jobs[job_id]["_life"] = ["SUCCEEDED"]

    hook.clock = replace(clock.clock, sleep=pass_by)  # type: ignore[misc]
    hook.wait_for_job(job_id, interval=120, timeout=6000)
    assert sum(naps) - seconds <= max(6.0, seconds * 0.06)
    assert len(naps) <= 80


def test_the_log_of_a_long_wait_tells_changes_and_signs_of_life() -> None:
    clock = Passing()
    told: list[str] = []
    log = SimpleNamespace(info=lambda text, *values: told.append(text % values))
    policy = patience.poll_policy(interval=30, patience=3600, log=log, clock=clock.clock)

    def look() -> None:
        raise patience.StillRunning(
            "QUEUED" if clock.now < 1100 else "IN_PROGRESS", what="media analysis job"
        )

    with pytest.raises(patience.StillRunning):
        tenacity.Retrying(sleep=clock.sleep, **policy)(look)
    assert len(clock.naps) > 95
    assert [text.split()[7] for text in told[:3]] == ["QUEUED", "IN_PROGRESS", "IN_PROGRESS"]
    assert 11 <= len(told) <= 14


@both_modes
async def test_what_the_quotas_refuse_is_counted(
    hook: RekognitionHook,
    fake_rekognition: FakeRekognition,
    clock: Passing,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    throttles = ["ThrottlingException", "ProvisionedThroughputExceededException"]
    fake_rekognition.fail_next("StartMediaAnalysisJob", *throttles, *["LimitExceededException"] * 3, LOST)
    fake_rekognition.fail_next("GetMediaAnalysisJob", "ThrottlingException", "InternalServerError")
    with statsd_listener.counting(monkeypatch) as listener:
        job_id = hook.start_media_analysis_job(REQUEST, timeout=600, limit_interval=1)
        await wait(hook, job_id, mode=mode, interval=0.01, timeout=30)
        listener.wait_for("airflow.moderation.throttles", 3)
        assert listener.totals() == {
            "airflow.moderation.throttles": 3,
            "airflow.moderation.job_limit_waits": 3,
        }


@pytest.mark.parametrize(
    "code",
    [
        "LimitExceededException",
        *(
            pytest.param(code, marks=pytest.mark.long)
            for code in ("ThrottlingException", "InternalServerError")
        ),
    ],
)
def test_the_wait_to_start_ends_with_its_time(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing, code: str
) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = code
    begun = clock.now
    with pytest.raises(exceptions.RekognitionError, match=code):
        hook.start_media_analysis_job(REQUEST, timeout=timedelta(minutes=20), limit_interval=30)
    assert 1200 <= clock.now - begun <= 1201


def test_throttled_calls_are_repeated_at_random_times(
    hook: RekognitionHook, fake_rekognition: FakeRekognition, clock: Passing
) -> None:
    fake_rekognition.always["GetMediaAnalysisJob"] = "ThrottlingException"
    with pytest.raises(exceptions.RekognitionThrottled):
        hook.describe_job("j1")
    assert len(set(clock.naps)) == len(clock.naps) > 4
    assert all(0 <= nap <= 30 for nap in clock.naps)
    # The shortest of sleeps take a moment longer than asked.
    assert sum(clock.naps) == pytest.approx(hooks._CALL_PATIENCE, abs=0.1)


def test_a_request_aws_would_refuse_for_ever_is_not_repeated(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    fake_rekognition.always["StartMediaAnalysisJob"] = "InvalidManifestException"
    with pytest.raises(exceptions.RekognitionRequestInvalid, match="InvalidManifestException"):
        hook.start_media_analysis_job(REQUEST, timeout=600)
    assert fake_rekognition.calls["StartMediaAnalysisJob"] == 1


def test_a_job_is_found_by_name_on_a_later_page(
    hook: RekognitionHook, fake_rekognition: FakeRekognition
) -> None:
    first = hook.start_media_analysis_job(REQUEST, timeout=10)
    for number in range(150):
        other = REQUEST | {"JobName": f"other-{number}", "ClientRequestToken": f"token-{number}"}
        hook.start_media_analysis_job(other, timeout=10)
    found = hook.find_job("job-g1-12345678", since=datetime.now(UTC))
    assert found is not None
    assert found["JobId"] == first
    assert hook.find_job("job-g1", since=None) is None


def test_the_search_by_name_stops_at_its_time_and_at_its_last_page(
    hook: RekognitionHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hooks, "_SEARCH_PAGES", 2)
    old = {
        "JobId": "j",
        "JobName": "x",
        "OperationsConfig": {},
        "Status": "SUCCEEDED",
        "Input": {"S3Object": {}},
        "OutputConfig": {"S3Bucket": "bucket"},
    }
    page = {
        "MediaAnalysisJobs": [old | {"CreationTimestamp": datetime(2020, 1, 1, tzinfo=UTC)}],
        "NextToken": "n",
    }
    with Stubber(hook.conn) as stub:
        stub.add_response("list_media_analysis_jobs", page, {"MaxResults": 100})
        assert hook.find_job("wanted", since=datetime(2026, 1, 1, tzinfo=UTC)) is None
        stub.assert_no_pending_responses()
        stub.add_response("list_media_analysis_jobs", page, {"MaxResults": 100})
        stub.add_response("list_media_analysis_jobs", page, {"MaxResults": 100, "NextToken": "n"})
        assert hook.find_job("wanted") is None
        stub.assert_no_pending_responses()


@pytest.mark.parametrize("bad", [0, -1, timedelta(0), float("nan"), True, "soon"])
def test_a_time_that_is_none_is_refused_by_name(bad: Any) -> None:
    with pytest.raises(ValueError, match="wait_timeout must be a positive"):
        patience.seconds(bad, name="wait_timeout")
