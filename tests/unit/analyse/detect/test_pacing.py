"""The pacer on a clock of the test's: even, never faster than allowed, a little late made good."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from moderation.analyse.detect.pacing import (
    BURST_SECONDS,
    CATCH_UP_SECONDS,
    CATCH_UP_SPEED,
    RECOVERY_BOUND_SECONDS,
    Pacer,
    ShareControl,
)


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


def refuse(control: ShareControl, time: Time, *, of: int, throttled: int, seconds: float) -> None:
    """`of` outcomes spread over `seconds`, the first of them a throttle."""
    for number in range(of):
        if number * throttled // of != (number - 1) * throttled // of:
            control.throttled()
        else:
            control.passed()
        time.now += seconds / of
    control.share()


def test_the_first_cut_finds_a_quota_of_a_third() -> None:
    time = Time()
    control = ShareControl(clock=time)
    refuse(control, time, of=150, throttled=100, seconds=1.01)
    assert control.share() == pytest.approx(1 / 3, abs=0.02)


def test_a_stray_throttle_costs_next_to_nothing() -> None:
    time = Time()
    control = ShareControl(clock=time)
    refuse(control, time, of=100, throttled=1, seconds=1.01)
    assert control.share() >= 0.98


def test_throttles_of_calls_sent_before_the_cut_do_not_cut_again() -> None:
    time = Time()
    control = ShareControl(clock=time)
    refuse(control, time, of=100, throttled=50, seconds=1.01)
    cut = control.share()
    for _ in range(50):
        time.now += 0.01
        control.throttled()
    time.now += 1.5
    assert control.share() >= cut


def test_throttles_that_do_not_heed_the_rate_do_not_starve_the_run() -> None:
    """30 % of all calls are refused for a minute, however few there are."""
    time = Time()
    control = ShareControl(clock=time)
    shares = []
    while time.now < 160:
        refuse(control, time, of=10, throttled=3, seconds=1.0)
        shares.append(control.share())
    assert min(shares) >= 0.5


def test_the_share_falls_to_its_floor_when_nothing_is_let_through() -> None:
    time = Time()
    control = ShareControl(clock=time)
    while time.now < 150:
        refuse(control, time, of=10, throttled=10, seconds=1.0)
    assert 0.05 <= control.share() <= 0.15


@pytest.mark.parametrize("throttled", [1, 3, 10])
def test_the_whole_rate_is_back_within_its_bound(throttled: int) -> None:
    time = Time()
    control = ShareControl(clock=time)
    for _ in range(20):
        refuse(control, time, of=10, throttled=throttled, seconds=1.0)
    shares = []
    for _ in range(int(RECOVERY_BOUND_SECONDS) + 3):
        time.now += 1
        shares.append(control.share())
    assert shares[3:] == sorted(shares[3:])
    assert shares[-1] == 1.0
