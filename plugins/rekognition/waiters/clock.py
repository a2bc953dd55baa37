"""The time that waits go by. It is handed in, so that the waits of a month can be gone through in seconds."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

import tenacity
from airflow.sdk import timezone


@dataclass(frozen=True)
class Clock:
    """
    Where the hook, its operators and triggers read the time, and how they let it pass.

    Each of these classes has it as the attribute ``clock``; who wants another one makes a subclass.

    :param now: the wall time, with a time zone.
    :param monotonic: seconds since whenever.
    :param sleep: how a worker waits so many seconds.
    :param pause: how the triggerer does.
    """

    now: Callable[[], datetime] = timezone.utcnow
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = tenacity.nap.sleep
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep


SYSTEM = Clock()
