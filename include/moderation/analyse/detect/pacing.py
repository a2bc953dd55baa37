"""When the next call may go out: evenly spaced, a little late is made good, a throttle slows down.

Times are monotonic seconds, rates calls a second. Clock and sleep are parameters, for tests.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from moderation.errors import DefectError

CATCH_UP_SECONDS = 0.5
"""A process that was held up makes good at most this much of its schedule; the rest is forgone."""
CATCH_UP_SPEED = 1.05
"""How much faster than the rate it then goes, so that no second sees a burst worth the name."""
BURST_SECONDS = 0.15
"""Timers are late by milliseconds: within so short a stretch calls may come closer than even spacing."""
_IDLE_SECONDS = 0.1

RECOVERY_BOUND_SECONDS = 15.0
"""After the last throttle the whole rate is used again within this time, however deep the cut was."""
_GROWTH = 0.0012
_WATCH_SECONDS, _LONGEST_WATCH_SECONDS, _WATCH_OUTCOMES = 1.0, 3.0, 5
_SETTLE_SECONDS = 3.0
_MEMORY_SECONDS = 30.0


class PacerClosed(DefectError):
    """The run has failed: no call goes out any more."""


class Pacer:
    """Hands out permissions to call, first come, first served.

    Over any T seconds at most ``rate * (T + CATCH_UP_SECONDS)`` calls go out, and at most
    ``rate * (CATCH_UP_SPEED * T + BURST_SECONDS)``.

    :param rate: calls a second that are allowed now; asked anew for each permission; 0 to wait.
    """

    def __init__(
        self,
        rate: Callable[[], float],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._rate = rate
        self._clock = clock
        self._sleep = sleep
        self._turn = asyncio.Lock()
        self._due: float | None = None
        self._sent: deque[float] = deque()
        self._closed = False
        self.waiting = 0
        """Callers that wait for their turn."""

    def close(self) -> None:
        """Hand out nothing more; those who wait are told soon."""
        self._closed = True

    async def acquire(self) -> None:
        """Wait until one more call may go out.

        :raises PacerClosed: none may.
        """
        self.waiting += 1
        try:
            async with self._turn:
                await self._wait_for_turn()
        finally:
            self.waiting -= 1

    async def _wait_for_turn(self) -> None:
        while True:
            if self._closed:
                raise PacerClosed
            rate, now = self._rate(), self._clock()
            if rate <= 0:
                self._due = None  # time without any rate is no debt to make good
                await self._sleep(_IDLE_SECONDS)
                continue
            wait = self._earliest(rate, now) - now
            if wait <= 0:
                self._note(rate, now)
                return
            # The rate may change meanwhile: look again soon.
            await self._sleep(min(wait, _IDLE_SECONDS))

    def _earliest(self, rate: float, now: float) -> float:
        interval = 1.0 / rate
        due = now if self._due is None else max(self._due, now - CATCH_UP_SECONDS)
        self._due = due
        if not self._sent:
            return due
        burst = _burst(rate)
        spaced = self._sent[-1] + interval / (CATCH_UP_SPEED if burst == 1 else 2.0)
        if len(self._sent) < burst:
            return max(due, spaced)
        return max(due, spaced, self._sent[-burst] + burst * interval / CATCH_UP_SPEED)

    def _note(self, rate: float, now: float) -> None:
        self._due = (now if self._due is None else self._due) + 1.0 / rate
        self._sent.append(now)
        while len(self._sent) > _burst(rate):
            self._sent.popleft()


def _burst(rate: float) -> int:
    return max(1, round(rate * BURST_SECONDS))


class ShareControl:
    """The share of the allowed rate to use: cut when calls are throttled, then raised again.

    How deep the cut is, is measured: from the first throttle on, outcomes are counted for a moment, and the
    share falls to the part that was let through. So a quota that is lower than believed is found in one step,
    and a stray throttle costs little. But never below the most that was let through lately: if a cut share
    lets still less through, then the throttles have nothing to do with the rate, and slowing down further
    would only starve the run. From there the share rises with the cube of time, slowly at first, and is whole
    again :data:`RECOVERY_BOUND_SECONDS` after the last throttle at the latest.

    :param floor: least share, so that the end of the trouble is noticed.
    :param clock: monotonic seconds; a parameter for tests.
    """

    def __init__(self, *, floor: float = 0.05, clock: Callable[[], float] = time.monotonic) -> None:
        self._floor, self._clock = floor, clock
        self._base = 1.0
        self._cut_at = float("-inf")
        self._watching_since: float | None = None
        self._outcomes = self._refused = 0
        self._let_through: deque[tuple[float, float]] = deque()

    def share(self) -> float:
        """The share now, above 0 and at most 1."""
        now = self._clock()
        if self._watching_since is not None:
            watched = now - self._watching_since
            enough = self._outcomes >= _WATCH_OUTCOMES or watched >= _LONGEST_WATCH_SECONDS
            if watched >= _WATCH_SECONDS and enough:
                self._cut(now)
        return self._share_at(now)

    def passed(self) -> None:
        """Take note of a call that was answered, or refused for another reason than the rate."""
        self._outcomes += 1

    def throttled(self) -> None:
        """Take note of a throttled call."""
        now = self._clock()
        if self._watching_since is None:
            if now - self._cut_at < _SETTLE_SECONDS:
                return  # it was on its way before the last cut
            self._watching_since, self._outcomes, self._refused = now, 0, 0
        self._outcomes += 1
        self._refused += 1

    def _cut(self, now: float) -> None:
        while self._let_through and now - self._let_through[0][0] > _MEMORY_SECONDS:
            self._let_through.popleft()
        best = max((share for _, share in self._let_through), default=0.0)
        let_through = self._share_at(now) * (1.0 - self._refused / self._outcomes)
        self._let_through.append((now, let_through))
        self._base = max(self._floor, best, let_through)
        self._cut_at, self._watching_since = now, None

    def _share_at(self, now: float) -> float:
        since = min(now - self._cut_at, RECOVERY_BOUND_SECONDS)
        return min(1.0, self._base + _GROWTH * since**3)
