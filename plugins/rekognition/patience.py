"""
Waiting that always ends: every loop here is bounded by wall time, whatever the service answers.

The provider's ``utils.waiter_with_logging`` counts attempts and does not count the throttled ones, so a
service that throttles for ever is polled for ever. Here only the clock ends a loop; tenacity turns it, for
the synchronous and the asynchronous client alike.
"""

from __future__ import annotations

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

_TRANSIENT = (RekognitionThrottled, RekognitionUnavailable)
# A refused call is repeated after a random time below 1, 2, 4 … seconds, at most this many.
_LONGEST_BACKOFF = 30.0
# A day's wait must stay readable: a status is told when it changes, and again after so many seconds.
_TOLD_AGAIN = 300.0
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


def call_policy(*, patience: float, log: Any) -> dict[str, Any]:
    """
    Build tenacity arguments for one call: throttling and disturbances are ridden out, with jitter.

    :param patience: seconds after which the last refusal is raised.
    :param log: logger that is told of each wait.
    """
    return _bounded(_TRANSIENT, _BACKOFF, patience, log)


def start_policy(*, patience: float, limit_interval: float | None, log: Any) -> dict[str, Any]:
    """
    Build tenacity arguments for starting a job: as `call_policy`, and "too many open jobs" is waited for.

    :param patience: seconds after which the last refusal is raised.
    :param limit_interval: seconds, about, between tries while too many jobs are open; None raises at once.
    """
    if limit_interval is None:
        return call_policy(patience=patience, log=log)
    slot = tenacity.wait_random(0.5 * limit_interval, 1.5 * limit_interval)

    def wait(state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return slot(state) if isinstance(error, RekognitionJobLimitReached) else _BACKOFF(state)

    return _bounded((*_TRANSIENT, RekognitionJobLimitReached), wait, patience, log)


def poll_policy(*, interval: float, patience: float, log: Any) -> dict[str, Any]:
    """
    Build tenacity arguments for looks at something until it ends, or until ``patience`` seconds have passed.

    :param interval: seconds between two looks; up to a fifth is added at random, so that tasks spread out.
    """
    wait = tenacity.wait_fixed(interval) + tenacity.wait_random(0, interval / 5)
    return _bounded((StillRunning, *_TRANSIENT), wait, patience, log)


def _bounded(retried: tuple[type[Exception], ...], wait: Wait, patience: float, log: Any) -> dict[str, Any]:
    def clipped(state: tenacity.RetryCallState) -> float:
        # The last look falls on the deadline rather than one interval before it.
        left = patience - (state.seconds_since_start or 0.0)
        return max(0.0, min(wait(state), left))

    last_told: tuple[str | None, float] = (None, 0.0)

    def tell(state: tenacity.RetryCallState) -> None:
        nonlocal last_told
        error = state.outcome.exception() if state.outcome else None
        pause = state.next_action.sleep if state.next_action else 0.0
        if isinstance(error, StillRunning):
            passed = state.seconds_since_start or 0.0
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
        "stop": tenacity.stop_after_delay(max(patience, 0.0)),
        "before_sleep": tell,
        "reraise": True,
    }
