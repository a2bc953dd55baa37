from __future__ import annotations

import functools
import itertools
import threading
from concurrent.futures import CancelledError
from typing import Any

import pytest

from local_aws.inference.slots import Slots
from local_aws.inference.weight import HEAD_BYTES, LIGHT, Effort, weigh
from local_aws.rekognition.images.pool import FairPool, Lane
from support import pictures


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
        future.result(timeout=240)
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
        future.result(timeout=240)
    pool.close()
    assert most == 2


def test_an_error_reaches_the_caller_and_the_thread_lives_on() -> None:
    pool = FairPool(1)
    with pytest.raises(ZeroDivisionError):
        pool.submit(("g", "c"), lambda: 1 // 0).result(timeout=240)
    assert pool.submit(("g", "c"), lambda: 42).result(timeout=240) == 42
    pool.close()


def test_closing_cancels_what_waits(held_pool: tuple[FairPool, threading.Event]) -> None:
    pool, gate = held_pool
    waiting = pool.submit(("g", "c"), lambda: 1)
    closer = threading.Thread(target=pool.close)
    closer.start()
    with pytest.raises(CancelledError):
        waiting.result(timeout=240)
    gate.set()
    closer.join(10)
    assert not closer.is_alive()
    assert pool.submit(("g", "c"), lambda: 1).cancelled()


SMALL, HUGE = Effort(6_000_000), Effort(105_000_000)
ALONE = Effort(105_000_000, alone=True)


@pytest.mark.parametrize(
    ("many", "few"),
    [(("calls", "k"), ("calls", "k")), (("calls", "k"), ("calls", "l")), (("jobs", "j"), ("calls", "k"))],
)
def test_a_small_image_does_not_wait_behind_many_huge_ones_that_came_before_it(
    held_pool: tuple[FairPool, threading.Event], many: Lane, few: Lane
) -> None:
    pool, gate = held_pool
    order: list[str] = []
    futures = [pool.submit(many, lambda: order.append("huge"), effort=HUGE) for _ in range(16)]
    futures += [pool.submit(few, lambda: order.append("small"), effort=SMALL) for _ in range(3)]
    gate.set()
    for future in futures:
        future.result(timeout=240)
    pool.close()
    assert order[:4] == ["huge", "small", "small", "small"]


def test_small_images_without_end_do_not_keep_a_huge_one_from_its_share(
    held_pool: tuple[FairPool, threading.Event],
) -> None:
    pool, gate = held_pool
    order: list[str] = []
    futures = [pool.submit(("calls", "k"), lambda: order.append("small"), effort=SMALL) for _ in range(100)]
    futures += [pool.submit(("calls", "k"), lambda: order.append("huge"), effort=HUGE) for _ in range(3)]
    gate.set()
    for future in futures:
        future.result(timeout=240)
    pool.close()
    places = [place for place, name in enumerate(order) if name == "huge"]
    assert places[0] <= 1
    assert [later - former for former, later in itertools.pairwise(places)] == [pytest.approx(18, abs=2)] * 2


def test_one_who_sends_huge_images_one_by_one_gets_no_more_than_a_share(
    held_pool: tuple[FairPool, threading.Event],
) -> None:
    """Whoever has nothing waiting when a turn comes must not begin anew each time with an empty account."""
    pool, gate = held_pool
    order: list[str] = []
    done = threading.Event()

    def huge() -> None:
        order.append("huge")
        if order.count("huge") < 4:
            pool.submit(("calls", "greedy"), huge, effort=HUGE)
        else:
            done.set()

    futures = [
        pool.submit(("calls", "modest"), lambda: order.append("small"), effort=SMALL) for _ in range(80)
    ]
    pool.submit(("calls", "greedy"), huge, effort=HUGE)
    gate.set()
    for future in futures:
        future.result(timeout=240)
    assert done.wait(10)
    pool.close()
    places = [place for place, name in enumerate(order) if name == "huge"]
    assert all(later - former > 10 for former, later in itertools.pairwise(places))


def test_where_there_are_several_threads_one_is_kept_from_images_that_are_worked_on_alone() -> None:
    pool, gate, begun = FairPool(2), threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        gate.wait(10)

    held = [pool.submit(("calls", "k"), hold, effort=ALONE) for _ in range(16)]
    assert begun.wait(10)
    small = [pool.submit(("calls", "k"), lambda: "small", effort=SMALL) for _ in range(5)]
    assert [future.result(timeout=240) for future in small] == ["small"] * 5
    assert not any(future.done() for future in held)
    gate.set()
    for future in held:
        future.result(timeout=240)
    pool.close()


def test_with_one_thread_images_that_are_worked_on_alone_have_their_turn() -> None:
    pool = FairPool(1)
    futures = [pool.submit(("calls", "k"), lambda: 1, effort=ALONE) for _ in range(5)]
    assert [future.result(timeout=240) for future in futures] == [1] * 5
    pool.close()


def test_an_empty_pool_remembers_no_customer() -> None:
    """Thousands of jobs come and go in a server's life."""
    pool = FairPool(1)
    for number in range(300):
        pool.submit(("jobs", str(number)), lambda: 1, effort=SMALL).result(timeout=240)
    assert pool._root._branches == {}
    pool.close()


def test_who_waits_for_a_slot_is_overtaken_by_nobody() -> None:
    slots, order, lock = Slots(2), [], threading.Lock()
    first = slots.taken(1)
    first.__enter__()

    def use(name: str, number: int) -> None:
        with slots.taken(number), lock:
            order.append(name)

    threads = []
    for position, (name, number) in enumerate([("all", 2), ("one", 1), ("all again", 2), ("another", 1)], 1):
        threads.append(threading.Thread(target=use, args=(name, number)))
        threads[-1].start()
        while len(slots._line) < position:
            threads[-1].join(0.001)
    assert order == []
    first.__exit__(None, None, None)
    for thread in threads:
        thread.join(10)
    assert order == ["all", "one", "all again", "another"]


@pytest.mark.parametrize(
    ("make", "megapixels", "alone"),
    [
        (pictures.jpeg, 0.0768, False),
        (pictures.png, 0.0768, False),
        (pictures.progressive_jpeg, 0.0768, False),
        (pictures.hundred_megapixels, 100, False),
        (functools.partial(pictures.blank_png, 10_000, 10_000), 100, True),
        (functools.partial(pictures.blank_png, 6_000, 6_000), 36, False),
        (pictures.deep_exif, 0.0768, False),
    ],
)
def test_the_work_a_picture_makes_is_known_before_it_is_decoded(
    make: Any, megapixels: float, alone: bool
) -> None:
    effort = weigh(make()[:HEAD_BYTES])
    assert effort == Effort(3_000_000 + round(megapixels * 1e6), alone=alone)


@pytest.mark.parametrize(
    "data", [b"", b"text", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"\xff\xd8" + b"\xff" * 1000]
)
def test_what_is_no_picture_makes_no_work(data: bytes) -> None:
    assert weigh(data) == LIGHT


def test_a_picture_whose_dimensions_lie_far_behind_counts_as_huge() -> None:
    assert weigh(pictures.huge_icc()[:HEAD_BYTES]).work > 100_000_000


def test_what_was_looked_at_before_weighs_its_missing_copies_alone() -> None:
    data = pictures.jpeg(90, 90)
    known = weigh(data, copies=2, looked_at=0)
    assert weigh(data, copies=2, looked_at=1).work < known.work < weigh(data).work
    assert weigh(data).work < weigh(data, copies=2).work
    assert weigh(b"no image", copies=2, looked_at=0).work > 0


def test_a_huge_picture_is_alone_also_when_it_is_decoded_for_its_copies() -> None:
    huge = pictures.hundred_megapixel_png()[:HEAD_BYTES]
    assert weigh(huge, copies=1, looked_at=0).alone
