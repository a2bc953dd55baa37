from __future__ import annotations

import threading
from concurrent.futures import CancelledError

import pytest

from local_aws.rekognition.pool import FairPool


@pytest.fixture
def held_pool() -> tuple[FairPool, threading.Event]:
    """A pool of one thread that is busy until the event is set."""
    pool, gate, started = FairPool(1), threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        gate.wait(10)

    pool.submit(("hold", "hold"), hold)
    assert started.wait(10)
    return pool, gate


def test_groups_take_turns_and_so_do_their_customers(held_pool: tuple[FairPool, threading.Event]) -> None:
    pool, gate = held_pool
    order: list[str] = []
    futures = [pool.submit(("jobs", "a"), lambda: order.append("a")) for _ in range(4)]
    futures += [pool.submit(("jobs", "b"), lambda: order.append("b")) for _ in range(2)]
    futures += [pool.submit(("calls", "k"), lambda: order.append("call")) for _ in range(3)]
    gate.set()
    for future in futures:
        future.result(timeout=10)
    pool.close()
    assert order == ["a", "call", "b", "call", "a", "call", "b", "a", "a"]


def test_no_more_than_the_set_number_run_at_once() -> None:
    pool, lock, both = FairPool(2), threading.Lock(), threading.Barrier(2)
    running, most = 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait(10)  # passes only if two run at the same time
        with lock:
            running -= 1

    futures = [pool.submit(("jobs", str(n)), work) for n in range(20)]
    for future in futures:
        future.result(timeout=10)
    pool.close()
    assert most == 2


def test_an_error_reaches_the_caller_and_the_thread_lives_on() -> None:
    pool = FairPool(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(("g", "c"), lambda: 1 // 0).result(timeout=10)
    assert pool.submit(("g", "c"), lambda: 42).result(timeout=10) == 42
    pool.close()


def test_closing_cancels_what_waits(held_pool: tuple[FairPool, threading.Event]) -> None:
    pool, gate = held_pool
    waiting = pool.submit(("g", "c"), lambda: 1)
    closer = threading.Thread(target=pool.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(timeout=10)
    gate.set()
    closer.join(10)
    assert not closer.is_alive()
    assert pool.submit(("g", "c"), lambda: 1).cancelled()
