from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from types import SimpleNamespace

import pytest

from moderation.storage import lease, s3_objects
from moderation.storage.lease import LeaseBusy, LeaseLost, hold


@pytest.fixture
def lock(bucket):
    return f"s3://{bucket}/locks/plan.json"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(lease, "_POLL_SECONDS", 0.02)


def test_of_many_at_once_one_is_inside(s3_client, lock):
    inside, most, entered = 0, 0, 0
    guard = threading.Lock()

    def work(number):
        nonlocal inside, most, entered
        with hold(s3_client, lock, owner=f"w{number}", wait=60):
            with guard:
                inside, entered = inside + 1, entered + 1
                most = max(most, inside)
            s3_objects.exists(s3_client, lock)
            with guard:
                inside -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))

    assert (most, entered) == (1, 24)


def test_a_held_lock_is_waited_for_within_the_bound_and_its_owner_named(s3_client, lock):
    with (
        hold(s3_client, lock, owner="night run"),
        pytest.raises(LeaseBusy, match="held by night run"),
        hold(s3_client, lock, owner="other", wait=0.1),
    ):
        pass


def test_the_lock_of_a_dead_owner_is_taken_over_by_exactly_one(s3_client, lock):
    dead = lease._acquire(s3_client, lock, owner="dead", ttl=-1.0, wait=0)
    winners = []

    def contend(number):
        with suppress(LeaseBusy):
            winners.append(lease._acquire(s3_client, lock, owner=f"w{number}", ttl=600, wait=0.3))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(contend, range(8)))

    (winner,) = winners
    winner.renew()
    with pytest.raises(LeaseLost, match="taken over"):
        dead.renew()
    with pytest.raises(LeaseLost):
        dead.release()
    winner.release()


def test_the_next_try_of_a_killed_owner_does_not_wait_out_the_lock_and_others_do(s3_client, lock):
    killed = lease._acquire(s3_client, lock, owner="nightly", ttl=600, wait=0)
    with (
        pytest.raises(LeaseBusy, match="held by nightly"),
        hold(s3_client, lock, owner="other", wait=0.1, own_ttl=-1.0),
    ):
        pass
    with hold(s3_client, lock, owner="nightly", wait=0, own_ttl=-1.0), pytest.raises(LeaseLost):
        killed.renew()


def test_losing_the_lock_is_reported_at_the_end_of_the_block(s3_client, lock):
    with (
        pytest.raises(LeaseLost),
        hold(s3_client, lock, owner="slow", ttl=-1.0),
        hold(s3_client, lock, owner="thief", wait=30),
    ):
        pass


def test_an_error_inside_frees_the_lock(s3_client, lock):
    with pytest.raises(ZeroDivisionError), hold(s3_client, lock, owner="a"):
        raise ZeroDivisionError
    with hold(s3_client, lock, owner="b", wait=0):
        pass


@pytest.mark.parametrize("own_ttl", [None, 20.0])
def test_a_lock_that_is_kept_is_renewed_in_time_and_not_at_every_call(s3_client, lock, monkeypatch, own_ttl):
    now = 0.0
    monkeypatch.setattr(lease, "time", SimpleNamespace(monotonic=lambda: now))
    written = []
    real = lease._body
    monkeypatch.setattr(lease, "_body", lambda *args, **kind: written.append(now) or real(*args, **kind))
    with hold(s3_client, lock, owner="a", ttl=60.0, wait=0, own_ttl=own_ttl) as held:
        for tenth in range(1200):
            now = tenth / 10
            held.keep()
        gaps = [after - before for before, after in pairwise(written)]
    assert max(gaps) < (own_ttl or 60.0) / 4
    assert len(gaps) < 1200 / 30


def test_who_keeps_a_lock_that_was_taken_over_is_told(s3_client, lock):
    with suppress(LeaseLost), hold(s3_client, lock, owner="slow", ttl=-1.0) as slow:
        with hold(s3_client, lock, owner="thief", wait=30):
            pass
        with pytest.raises(LeaseLost, match="taken over"):
            slow.keep()


def test_a_write_whose_answer_was_lost_is_recognised_as_ones_own(s3_client, lock, monkeypatch):
    real = s3_client.put_object

    def deaf(**request):
        real(**request)
        return real(**request)  # as botocore repeats a call whose answer never came

    monkeypatch.setattr(s3_client, "put_object", deaf)

    with hold(s3_client, lock, owner="deaf", wait=0) as held:
        held.renew()
    with hold(s3_client, lock, owner="deaf again", wait=0):
        pass


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"ttl_seconds":"long"}'])
def test_a_damaged_lock_is_held_for_the_default_time_and_then_taken_over(s3_client, lock, body, monkeypatch):
    s3_objects.put(s3_client, lock, body)
    with pytest.raises(LeaseBusy, match="held by unknown"), hold(s3_client, lock, owner="a", wait=0):
        pass
    monkeypatch.setattr(lease, "DEFAULT_TTL", -1.0)
    with hold(s3_client, lock, owner="a", wait=0, ttl=60):
        pass
