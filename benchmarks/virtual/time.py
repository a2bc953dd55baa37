"""A loop whose sleeps take no time, and the clock that the plugin's waits go by."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from sqlalchemy.util import await_only, greenlet_spawn

from rekognition.waiters.clock import Clock

T = TypeVar("T")
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)


class _Jumping(selectors.DefaultSelector):  # type: ignore[valid-type, misc]
    """Where a loop would wait for its next timer, its time moves on to it."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise RuntimeError("nothing will ever happen: everybody waits for somebody else")
        self.passed += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio's own loop; ``asyncio.sleep`` and ``asyncio.timeout`` go by its time."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Seconds since the beginning."""
        return float(self._jumping.passed)

    def now(self) -> datetime:
        """The time of day."""
        return BEGAN + timedelta(seconds=self.time())

    def clock(self) -> Clock:
        """As the plugin wants it; code of a worker sleeps within `in_worker`."""
        return Clock(
            now=self.now,
            monotonic=self.time,
            sleep=lambda seconds: await_only(asyncio.sleep(max(seconds, 1e-3))),
            pause=lambda seconds: asyncio.sleep(max(seconds, 1e-3)),
        )


def in_worker(call: Callable[..., T], *args: Any) -> Awaitable[T]:
    """Call what may sleep as a worker does."""
    return greenlet_spawn(call, *args)


def run(loop: VirtualLoop, main: Coroutine[Any, Any, T]) -> T:
    """Run until ``main`` has ended, and close the loop."""
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(main)
