"""
Waiting that always ends: every loop here is bounded by wall time, whatever the service answers.

The provider's ``utils.waiter_with_logging`` counts attempts and does not count the throttled ones, so a
service that throttles for ever is polled for ever. Here only the clock ends a loop; tenacity turns it, for
the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import tenacity

from rekognition.exceptions import (
    RekognitionError,
    RekognitionJobLimitReached,
    RekognitionThrottled,
    RekognitionUnavailable,
)
from rekognition.metrics import count_refusal
from rekognition.waiters.clock import SYSTEM, Clock

_TRANSIENT = (RekognitionThrottled, RekognitionUnavailable)
# A refused call is repeated after a random time below 1, 2, 4 … seconds, at most this many.
_LONGEST_BACKOFF = 30.0
# A day's wait must stay readable: a status is told when it changes, and again after so many seconds.
_TOLD_AGAIN = 300.0
# What has been waited for only shortly is looked at more often than asked for, down to so many seconds apart:
# each look comes after this share of the wait, so that little time is lost at its end, however long it is.
_SOONEST = 5.0
_SHARE = 0.05
_BACKOFF = tenacity.wait_random_exponential(multiplier=1, max=_LONGEST_BACKOFF)

Wait = Callable[[tenacity.RetryCallState], float]


class StillRunning(Exception):
    """
    One look found what is waited for in an active state.

    :param what: what it is, for the log.
    """

    def __init__(self, status: str, *, what: str) -> None:
        super().__init__(status)
        self.status = status
        self.what = what


def seconds(value: timedelta | float, *, name: str) -> float:
    """
    Read a length of time given as timedelta or seconds.

    :raises ValueError: naming ``name``, if it is not a positive length of time.
    """
    length = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(length, bool) or not isinstance(length, int | float) or not length > 0:
        raise ValueError(f"{name} must be a positive timedelta or number of seconds, not {value!r}")
    return float(length)


def call_policy(*, patience: float, log: Any, clock: Clock = SYSTEM) -> dict[str, Any]:
    """
    Build tenacity arguments for one call: throttling and disturbances are ridden out, with jitter.

    :param patience: seconds after which the last refusal is raised.
    :param log: logger that is told of each wait.
    :param clock: by which the patience runs, from now on.
    """
    return _bounded(_TRANSIENT, _BACKOFF, patience, log, clock)


def start_policy(
    *, patience: float, limit_interval: float | None, log: Any, clock: Clock = SYSTEM
) -> dict[str, Any]:
    """
    Build tenacity arguments for starting a job: as `call_policy`, and "too many open jobs" is waited for.

    :param patience: seconds after which the last refusal is raised.
    :param limit_interval: seconds, about and at most, between tries while too many jobs are open; None raises
        at once.
    """
    if limit_interval is None:
        return call_policy(patience=patience, log=log, clock=clock)
    spaced = _spaced(limit_interval, clock)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RekognitionJobLimitReached):
            return spaced() * random.uniform(0.5, 1.5)  # noqa: S311 - spreads load
        return _BACKOFF(state)

    return _bounded((*_TRANSIENT, RekognitionJobLimitReached), wait, patience, log, clock)


def poll_policy(*, interval: float, patience: float, log: Any, clock: Clock = SYSTEM) -> dict[str, Any]:
    """
    Build tenacity arguments for looks at something until it ends, or until ``patience`` seconds have passed.

    :param interval: seconds between two looks at most; up to a fifth is added at random, so that tasks spread
        out.
    """
    spaced = _spaced(interval, clock)

    def wait(_: tenacity.RetryCallState) -> float:
        return spaced() * random.uniform(1.0, 1.2)  # noqa: S311 - spreads load

    return _bounded((StillRunning, *_TRANSIENT), wait, patience, log, clock)


def _spaced(interval: float, clock: Clock) -> Callable[[], float]:
    """How long until the next look of a wait that begins now: a share of what it has lasted."""
    begun = clock.monotonic()
    return lambda: min(interval, max(_SOONEST, _SHARE * (clock.monotonic() - begun)))


def _bounded(
    retried: tuple[type[Exception], ...], wait: Wait, patience: float, log: Any, clock: Clock
) -> dict[str, Any]:
    begun = clock.monotonic()

    def clipped(state: tenacity.RetryCallState) -> float:
        # The last look falls on the deadline rather than one interval before it.
        left = patience - (clock.monotonic() - begun)
        return max(0.0, min(wait(state), left))

    last_told: tuple[str | None, float] = (None, 0.0)

    def tell(state: tenacity.RetryCallState) -> None:
        nonlocal last_told
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        if isinstance(error, StillRunning):
            passed = clock.monotonic() - begun
            if error.status != last_told[0] or passed - last_told[1] >= _TOLD_AGAIN:
                last_told = (error.status, passed)
                log.info(
                    "Status of the %s is %s after %s; looking about every %.0f s",
                    error.what,
                    error.status,
                    timedelta(seconds=round(passed)),
                    pause,
                )
        elif isinstance(error, RekognitionError):
            count_refusal(error)
            log.warning("%s; trying again in %.1f s", error, pause)

    return {
        "retry": tenacity.retry_if_exception_type(retried),
        "wait": clipped,
        "stop": lambda _: clock.monotonic() - begun >= max(patience, 0.0),
        "before_sleep": tell,
        "reraise": True,
    }
