"""The shared rate: whatever the order of beats and of the calls within them, the sum keeps to the quota."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from greenlet import getcurrent, greenlet
from hypothesis import given
from hypothesis import strategies as st

from moderation.analyse.detect.budget import FixedBudget, SharedBudget, fair_share
from moderation.storage.s3_objects import S3Error, s3_error
from support.fake_s3 import FakeS3

QUOTA = 50.0


class World:
    """Participants whose S3 calls happen one at a time, in an order that the test chooses."""

    def __init__(self, participants: int) -> None:
        self.hub = getcurrent()
        self.s3 = FakeS3(around_each=self._pause)
        self.budgets = [
            SharedBudget(self.s3, "s3://b/rates", QUOTA, clock=lambda: self.s3.now)
            for _ in range(participants)
        ]
        self.beats: dict[int, greenlet] = {}
        self.lose = False

    def _pause(self) -> None:
        if getcurrent() is not self.hub:
            self.hub.switch()
            if self.lose:
                self.lose = False
                raise EndpointConnectionError(endpoint_url="s3")

    def _beat(self, who: int) -> None:
        with contextlib.suppress(S3Error):
            self.budgets[who].beat()

    def step(self, who: int, *, lose: bool = False) -> None:
        """Let one participant make half an S3 call, beginning a beat if it is in none.

        :param lose: the call, or its answer, is lost.
        """
        beat = self.beats.get(who)
        if beat is None or beat.dead:
            beat = self.beats[who] = greenlet(lambda: self._beat(who), self.hub)
            lose = False
        self.lose = lose
        beat.switch()
        self.lose = False

    def beat(self, who: int) -> None:
        """Let one participant finish a whole beat."""
        self.step(who)
        while not self.beats[who].dead:
            self.beats[who].switch()

    def rates(self) -> list[float]:
        return [budget.rate() for budget in self.budgets]


@pytest.mark.parametrize("participants", [2, 4])
@given(seed=st.integers(0, 2**32), patience=st.sampled_from([0.05, 0.3, 1.0, 3.0]))
def test_the_sum_never_exceeds_the_quota_in_any_interleaving(
    participants: int, seed: int, patience: float
) -> None:
    """Joins, lost answers, long pauses, work that ends, between any two halves of calls."""
    world, choose = World(participants), random.Random(seed)
    for budget in world.budgets:
        if choose.random() < 0.5:
            budget.needs(lambda: choose.choice([0, 3, 40, 10_000]))
    who = 0
    for _ in range(400):
        if choose.random() < 0.4:
            who = choose.randrange(participants)
        world.s3.now += choose.expovariate(1 / patience) if choose.random() < 0.5 else 0.0
        world.step(who, lose=choose.random() < 0.03)
        assert sum(world.rates()) <= QUOTA * (1 + 1e-9)


def test_a_beat_that_hung_beyond_the_expiry_joins_anew() -> None:
    """Looked, then hung until the other had taken everything: the old look must not be believed."""
    world = World(2)
    for who in (0, 1, 0, 1):
        world.beat(who)
    world.step(1)
    world.step(1)  # it has listed, and hangs before it writes
    for _ in range(10):
        world.s3.now += 2
        world.beat(0)
    assert world.budgets[0].rate() == QUOTA
    while not world.beats[1].dead:
        world.beats[1].switch()
        assert sum(world.rates()) <= QUOTA


@given(st.integers(1, 6))
def test_everybody_ends_with_an_equal_share_and_nothing_is_left_over(participants: int) -> None:
    world = World(participants)
    for _ in range(4):
        for who in range(participants):
            world.beat(who)
    assert world.rates() == pytest.approx([QUOTA / participants] * participants)


def test_one_alone_has_the_whole_quota_after_its_first_beat() -> None:
    world = World(1)
    world.beat(0)
    assert world.rates() == [QUOTA]


def test_a_newcomer_waits_until_room_was_made() -> None:
    world = World(2)
    world.beat(0)
    world.beat(1)
    assert world.rates() == [QUOTA, 0]
    world.beat(0)
    world.beat(1)
    assert world.rates() == [QUOTA / 2, QUOTA / 2]


def test_the_share_of_a_dead_participant_comes_back() -> None:
    world = World(2)
    for who in (0, 1, 0, 1):
        world.beat(who)
    for _ in range(10):
        world.s3.now += 1
        world.beat(0)
    assert world.budgets[0].rate() == QUOTA
    assert world.budgets[1].rate() == 0, "the silent one has stopped by itself"


def test_a_participant_without_a_sign_of_life_stops_before_the_others_count_it_as_dead() -> None:
    world = World(2)
    for who in (0, 1, 0, 1):
        world.beat(who)
    for _ in range(40):
        world.s3.now += 0.5
        world.beat(0)
        assert sum(world.rates()) <= QUOTA


def test_what_one_no_longer_needs_goes_to_the_others_before_it_leaves() -> None:
    world = World(3)
    world.budgets[2].needs(lambda: 6)
    for who in (0, 1, 2) * 4:
        world.beat(who)
    assert world.rates() == pytest.approx([23.5, 23.5, 3.0])


def test_what_nobody_needs_is_there_for_late_retries() -> None:
    world = World(2)
    for budget in world.budgets:
        budget.needs(lambda: 0)
    for who in (0, 1) * 4:
        world.beat(who)
    assert world.rates() == [QUOTA / 2, QUOTA / 2]


@given(
    quota=st.floats(0.1, 1000),
    wishes=st.lists(st.one_of(st.floats(0, 500), st.just(float("inf"))), min_size=1, max_size=8),
)
def test_fair_shares_add_up_to_the_quota(quota: float, wishes: list[float]) -> None:
    shares = [fair_share(quota, wish, [*wishes[:n], *wishes[n + 1 :]]) for n, wish in enumerate(wishes)]
    assert sum(shares) == pytest.approx(quota)
    assert all(
        share >= min(wish, quota / len(wishes)) * 0.999 for share, wish in zip(shares, wishes, strict=True)
    )


def test_an_unreadable_claim_is_believed_to_be_everything() -> None:
    world = World(1)
    world.s3.objects["rates/other.json"] = (b"{}", world.s3._time())
    world.beat(0)
    assert world.rates() == [0]


def test_steady_beats_read_no_bodies() -> None:
    calls: list[str] = []
    world = World(3)
    for who in (0, 1, 2) * 3:
        world.beat(who)
    original: Callable[..., object] = world.s3.get_object
    world.s3.get_object = lambda **given: calls.append(given["Key"]) or original(**given)  # type: ignore[method-assign,func-returns-value,assignment]
    for who in (0, 1, 2) * 3:
        world.beat(who)
    assert not calls


def test_leaving_frees_the_place_at_once() -> None:
    s3 = FakeS3()

    async def come_and_go() -> float:
        async with SharedBudget(s3, "s3://b/rates", QUOTA) as budget:
            assert len(s3.objects) == 1
            return budget.rate()

    assert asyncio.run(come_and_go()) == QUOTA
    assert not s3.objects


def test_a_beat_under_way_while_leaving_does_not_outlive_it() -> None:
    """Cancelled in the middle of its write: what it writes must not hold a share that nobody uses."""
    writing, go_on = threading.Event(), threading.Event()
    s3 = FakeS3()
    write = s3.put_object

    def slow(**given: Any) -> Any:
        if s3.objects:  # not the first, which joins
            writing.set()
            assert go_on.wait(10)
        return write(**given)

    s3.put_object = slow  # type: ignore[method-assign]

    async def come_and_go() -> None:
        async with SharedBudget(s3, "s3://b/rates", QUOTA, beat_seconds=0.01):
            await asyncio.to_thread(writing.wait, 10)
            asyncio.get_running_loop().call_later(0.2, go_on.set)

    asyncio.run(come_and_go())
    assert not s3.objects


def test_s3_out_of_reach_at_the_start_is_an_error() -> None:
    s3 = FakeS3()

    def refuse(**_: object) -> None:
        raise s3_error("Unreachable", bucket="b", action="list", cause="down")

    s3.paginate = refuse  # type: ignore[method-assign,assignment]

    async def join() -> None:
        async with SharedBudget(s3, "s3://b/rates", QUOTA):
            pass

    with pytest.raises(S3Error, match="down"):
        asyncio.run(join())


@pytest.mark.parametrize("rate", [0, -1, float("nan")])
def test_a_senseless_rate_is_refused(rate: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        FixedBudget(rate)
    with pytest.raises(ValueError, match="above 0"):
        SharedBudget(FakeS3(), "s3://b/rates", rate)
