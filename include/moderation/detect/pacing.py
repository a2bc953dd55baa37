"""When the next call may go out: evenly spaced, a little late is made good, a throttle slows down.

Times are monotonic seconds, rates calls a second. Clock and sleep are parameters, for tests.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

CATCH_UP_SECONDS = 0.5
"""A process that was held up makes good at most this much of its schedule; the rest is forgone."""
CATCH_UP_SPEED = 1.05
"""How much faster than the rate it then goes, so that no second sees a burst worth the name."""
BURST_SECONDS = 0.15
"""Timers are late by milliseconds: within so short a stretch calls may come closer than even spacing."""
_IDLE_SECONDS = 0.1


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

    async def acquire(self) -> None:
        """Wait until one more call may go out."""
        async with self._turn:
            while True:
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


class Aimd:
    """The share of the allowed rate to use: cut at a throttle, raised again slowly (AIMD).

    Throttles come in swarms, because calls already under way meet the same wall: at most one cut a second.

    :param cut: factor of one cut.
    :param floor: least share, so that the end of the trouble is noticed.
    :param recovery_seconds: time from nothing to the whole rate.
    """

    def __init__(
        self,
        *,
        cut: float = 0.7,
        floor: float = 0.05,
        recovery_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cut, self._floor, self._recovery = cut, floor, recovery_seconds
        self._clock = clock
        self._share = 1.0
        self._at = clock()
        self._cut_at = float("-inf")

    def share(self) -> float:
        """The share now, above 0 and at most 1."""
        now = self._clock()
        self._share = min(1.0, self._share + (now - self._at) / self._recovery)
        self._at = now
        return self._share

    def throttled(self) -> None:
        """Take note of one throttled call."""
        share, now = self.share(), self._clock()
        if now - self._cut_at >= 1.0:
            self._share, self._cut_at = max(self._floor, share * self._cut), now
