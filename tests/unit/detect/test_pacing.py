"""The pacer on a clock of the test's: even, never faster than allowed, a little late made good."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from moderation.detect.pacing import BURST_SECONDS, CATCH_UP_SECONDS, CATCH_UP_SPEED, Aimd, Pacer


class Time:
    """A clock that sleeping moves, a little too far, as real ones do."""

    def __init__(self, overshoot: float = 0.0, stalls: tuple[float, float] = (0.0, 0.0)) -> None:
        self.now = 100.0
        self.overshoot = overshoot
        self.stall_probability, self.stall_seconds = stalls
        self.random = random.Random(4)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds + self.random.uniform(0, self.overshoot)
        if self.random.random() < self.stall_probability:
            self.now += self.stall_seconds


def sent(pacer: Pacer, time: Time, count: int) -> list[float]:
    """The moments of ``count`` calls."""

    async def run() -> list[float]:
        times = []
        for _ in range(count):
            await pacer.acquire()
            times.append(time.now)
        return times

    return asyncio.run(run())


def most_within(times: list[float], seconds: float) -> int:
    return max(sum(start <= at < start + seconds for at in times) for start in times)


@pytest.mark.parametrize("rate", [0.4, 1.0, 1.65, 5.0, 16.5, 49.5, 500.0])
def test_the_rate_is_kept_exactly_and_evenly(rate: float) -> None:
    time = Time()
    times = sent(Pacer(lambda: rate, clock=time, sleep=time.sleep), time, 300)
    assert (times[-1] - times[0]) * rate == pytest.approx(299, rel=1e-6)
    gaps = [b - a for a, b in pairwise(times)]
    assert max(gaps) == pytest.approx(1 / rate, rel=1e-6)


@pytest.mark.parametrize("rate", [1.65, 5.0, 49.5])
def test_sleeping_too_long_by_a_little_costs_no_rate(rate: float) -> None:
    time = Time(overshoot=0.004)
    times = sent(Pacer(lambda: rate, clock=time, sleep=time.sleep), time, 1000)
    assert 999 / (times[-1] - times[0]) >= 0.995 * rate


@pytest.mark.parametrize("rate", [5.0, 49.5])
def test_short_stalls_are_made_good_without_a_burst(rate: float) -> None:
    time = Time(overshoot=0.002, stalls=(0.002, 0.4))
    times = sent(Pacer(lambda: rate, clock=time, sleep=time.sleep), time, 3000)
    assert 2999 / (times[-1] - times[0]) >= 0.98 * rate
    assert most_within(times, 1.0) <= rate * (CATCH_UP_SPEED + BURST_SECONDS) + 1
    assert most_within(times, 30.0) <= rate * (30 + CATCH_UP_SECONDS) + 1


def test_a_long_stall_is_forgone_but_for_half_a_second() -> None:
    time = Time()
    pacer = Pacer(lambda: 20.0, clock=time, sleep=time.sleep)
    sent(pacer, time, 10)
    time.now += 60
    start = time.now
    times = sent(pacer, time, 400)
    assert most_within([at - start for at in times], 10.0) <= 20 * (10 + CATCH_UP_SECONDS) + 1


def test_a_change_of_the_rate_is_followed_at_once() -> None:
    time = Time()
    pacer = Pacer(lambda: 50.0 if time.now < 110 else 10.0, clock=time, sleep=time.sleep)
    times = sent(pacer, time, 600)
    late = [at for at in times if 110.5 <= at < 115.5]
    assert len(late) == pytest.approx(50, abs=1)


def test_no_call_goes_out_while_the_rate_is_nought_nor_a_burst_afterwards() -> None:
    time = Time()
    pacer = Pacer(lambda: 0.0 if 101 <= time.now < 131 else 20.0, clock=time, sleep=time.sleep)
    times = sent(pacer, time, 100)
    assert not [at for at in times if 101.05 <= at < 131]
    assert most_within(times, 1.0) <= 21


def test_throttles_of_one_moment_cut_the_share_once() -> None:
    time = Time()
    aimd = Aimd(clock=time)
    for _ in range(50):
        aimd.throttled()
    assert aimd.share() == pytest.approx(0.7)


def test_the_share_falls_to_its_floor_and_comes_back_whole() -> None:
    time = Time()
    aimd = Aimd(clock=time, recovery_seconds=30.0)
    for _ in range(60):
        time.now += 1.01
        aimd.throttled()
    assert 0.05 <= aimd.share() < 0.1
    shares = []
    for _ in range(31):
        time.now += 1
        shares.append(aimd.share())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
