"""Loops that wait or try again end within their bound, whatever the others do; the clock is the test's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import tenacity
from pyiceberg.exceptions import CommitFailedException

from moderation.cli import jobs, main
from moderation.settings import Settings
from moderation.storage import lease
from moderation.tables import swap
from support.fake_s3 import FakeS3

LOCK = "s3://work/locks/plan.json"


class Clock:
    """Time that passes only while somebody sleeps, and a little at each look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        self.now += 0.001
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_the_wait_for_a_lock_that_is_never_freed_ends(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "time", clock)
    s3 = FakeS3()  # its clock stands still, so the lock never runs out
    with lease.hold(s3, LOCK, owner="keeps it"):
        begun = clock.now
        with pytest.raises(lease.LeaseBusy, match="keeps it"), lease.hold(s3, LOCK, owner="b", wait=300.0):
            pass
    assert 300 <= clock.now - begun <= 302


def test_giving_way_to_publishes_takes_less_than_a_minute_in_all(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenacity.nap, "time", clock)
    monkeypatch.setattr(tenacity.wait, "random", SimpleNamespace(uniform=lambda _, most: most))
    begun, tries = clock.now, 0

    def attempt() -> None:
        nonlocal tries
        tries += 1
        raise CommitFailedException("another was first")

    with pytest.raises(CommitFailedException, match="another was first"):
        swap.giving_way(attempt)
    assert tries == swap.ATTEMPTS
    assert 20 < clock.now - begun < 60


@pytest.mark.parametrize("wait", [0.0, 7.0, 3600.0])
def test_the_command_that_waits_for_a_job_ends_though_the_job_does_not(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, wait: float, capsys: pytest.CaptureFixture[str]
) -> None:
    job = {"JobId": "job", "Status": "IN_PROGRESS", "OperationsConfig": {}}
    rekognition = SimpleNamespace(get_media_analysis_job=lambda JobId: {**job, "JobId": JobId})
    monkeypatch.setattr(jobs, "time", clock)
    monkeypatch.setattr(jobs, "Rekognition", lambda _: _Open(rekognition))
    begun = clock.now
    code = main.main(["show-job", "job", "--wait", str(wait)], settings=Settings.from_env({}))
    assert code == (1 if wait else 0)
    assert wait <= clock.now - begun <= wait + 1 + wait / 100
    assert "IN_PROGRESS" in capsys.readouterr().out


class _Open:
    def __init__(self, client: Any) -> None:
        self._client = client

    def __enter__(self) -> Any:
        return self._client

    def __exit__(self, *_: object) -> None:
        return None
