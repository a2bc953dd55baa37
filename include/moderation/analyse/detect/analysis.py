"""All images of a manifest through the calls: many at once, each tried again within bounds."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from moderation.analyse.detect.calls import Answered, Counters, Disturbed, Refused
from moderation.analyse.detect.checkpoint import Spool
from moderation.analyse.detect.errors import DetectError, DetectUnavailable
from moderation.analyse.detect.manifest import Line
from moderation.analyse.detect.pacing import PacerClosed
from moderation.analyse.detect.request import DetectOptions

_log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 20.0
_DRAIN_SECONDS = 90.0
_FAREWELL_SECONDS = 2.5
"""Airflow kills a task 5 s after it was told to end; its answers must be in S3 by then."""
_PROGRESS_SECONDS = 30.0
_STANDSTILL_SECONDS, _STANDSTILL_CALLS = 10.0, 5
"""When nothing had an outcome for so long, and so many images wait for one, the fault is none of theirs."""


class Asks(Protocol):
    """What makes one call, as ``calls.Caller`` does."""

    async def ask(self, image: dict[str, object]) -> Answered | Refused | Disturbed:
        """Ask about one image."""


@dataclass
class Analysis:
    """One pass over the lines that have no record yet.

    :param in_flight: calls under way at once.
    :param keep_safe: copies new records to S3; called every few seconds.
    :param stop_calls: called once the run has failed; calls that still wait for their turn then raise.
    :param adapter: whose answers are wanted, see `DetectOptions.stops_without_adapter`.
    :param given_up: what the last try of an image met, by line number; filled by :meth:`run`.
    """

    caller: Asks
    spool: Spool
    options: DetectOptions
    in_flight: int
    counters: Counters
    keep_safe: Callable[[], Awaitable[None]]
    stop_calls: Callable[[], None] = lambda: None
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    given_up: dict[int, Disturbed] = field(default_factory=dict)
    adapter: str | None = None

    def __post_init__(self) -> None:
        self._begun = self._useful_at = self.clock()
        self._stood_still = 0.0
        self._fatal: BaseException | None = None
        self.is_ignored = False
        """Whether the base model answered in the adapter's place, and so nothing more is asked."""
        self._patience = _DRAIN_SECONDS
        self._slots = asyncio.Semaphore(self.in_flight)
        self._under_way: set[asyncio.Task[None]] = set()
        self.unasked = 0
        """Images whose next call does not wait for its turn yet: not begun, or pausing before a retry."""

    async def run(self, lines: list[Line]) -> None:
        """Ask about ``lines``; each then has a record, or stands in ``given_up``, or time was up before it.

        :raises DetectDenied, DetectRequestRefused: no call can succeed.
        :raises DetectUnavailable: no call succeeded for too long, or the run was told to end.
        """
        helpers = [asyncio.create_task(self._copy(lines)), asyncio.create_task(self._watch())]
        for helper in helpers:
            helper.add_done_callback(self._note_failure)
        self.unasked = len(lines)
        try:
            for line in lines:
                await self._slots.acquire()
                if self._fatal or self.is_ignored or self._time_left() <= 0:
                    self._slots.release()
                    self.unasked = 0
                    break
                self.unasked -= 1
                task = asyncio.create_task(self._finish(line))
                self._under_way.add(task)
                task.add_done_callback(self._landed)
            await self._drain()
        finally:
            for task in [*helpers, *self._under_way]:
                task.cancel()
            await asyncio.gather(*helpers, *self._under_way, return_exceptions=True)
        if self._fatal:
            raise self._fatal

    async def _drain(self) -> None:
        """Wait for what is under way: its answers are paid for. Not for long once the run has failed."""
        while self._under_way and not self._fatal:
            await asyncio.wait(self._under_way, timeout=1.0)
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=self._patience)

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._slots.release()
        self._note_failure(task)

    def _note_failure(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        if not self._fatal:
            self._fatal = error
            self.stop_calls()

    async def _finish(self, line: Line) -> None:
        """Ask about one image until it has an outcome, its time is up, or the run has failed.

        Its time does not run while the whole service is away: that would fail what is merely under way.
        """
        begun, pause = self.clock() - self._stood_still, _FIRST_PAUSE
        while True:
            try:
                outcome = await self.caller.ask(line.image)
            except PacerClosed:
                if self.is_ignored:
                    return
                raise
            if isinstance(outcome, Answered):
                self._useful_at = self.clock()
                self.spool.add(line.number, answer=outcome.body)
                self._look_who_answered(outcome.body)
                return
            if isinstance(outcome, Refused):
                self._useful_at = self.clock()
                self.spool.add(line.number, error={"code": outcome.code, "message": outcome.message})
                return
            spent = self.clock() - self._stood_still - begun
            left = min(self.options.image_seconds - spent, self._time_left())
            wait = random.uniform(0, pause)  # noqa: S311 - full jitter, no secret
            if self.is_ignored:
                return
            if self._fatal or wait >= left:
                self.given_up[line.number] = outcome
                return
            pause = min(_LONGEST_PAUSE, 2 * pause)
            self.unasked += 1
            try:
                await self.sleep(wait)
            finally:
                self.unasked -= 1
            if self._fatal:
                self.given_up[line.number] = outcome
                return
            self.counters.retries += 1

    def _look_who_answered(self, body: dict[str, object]) -> None:
        """Ask no more once an answer that is paid for is not of the adapter."""
        if self.adapter and self.options.stops_without_adapter and not body.get("ProjectVersion"):
            if not self.is_ignored:
                _log.error(
                    "the base model answers in place of the adapter %s: nothing more is asked", self.adapter
                )
            self.is_ignored = True
            self.stop_calls()

    def _time_left(self) -> float:
        return self._begun + self.options.total_seconds - self.clock()

    async def _copy(self, lines: list[Line]) -> None:
        """Keep S3 up to date, and tell how far the run is."""
        told = self.clock()
        while True:
            await self.sleep(self.options.part_seconds)
            try:
                await self.keep_safe()
            except DetectUnavailable:
                pass  # told there; the spool has it all, and an outage that lasts ends the run
            except DetectError as error:
                self._fail(error)
            if self.clock() - told >= _PROGRESS_SECONDS:
                told = self.clock()
                _log.info(
                    "%d of %d answered, %d throttled",
                    self.counters.answered,
                    len(lines),
                    self.counters.throttles,
                )

    async def _watch(self) -> None:
        """End the run that is told to end, or in which nothing succeeds, whatever the calls wait for."""
        limit, hopeless = self.options.outage_seconds, False
        while not self._fatal:
            looked = self.clock()
            await self.sleep(min(0.5, limit / 4))
            silent = self.clock() - self._useful_at > _STANDSTILL_SECONDS
            if silent and len(self._under_way) >= _STANDSTILL_CALLS:
                self._stood_still += self.clock() - looked
            if self.options.stopped():
                self._patience = _FAREWELL_SECONDS
                self._fail(DetectUnavailable("the run was told to end; a later one goes on from here"))
            elif self.clock() - self._useful_at > limit:
                last = next(reversed(self.given_up.values()), None)
                told = f"; last answer: {last.code}: {last.message}" if last else ""
                self._fail(
                    DetectUnavailable(f"no call had an outcome for {limit:g} s{told}; run again later")
                )
                hopeless = True
            elif self._time_left() <= -_DRAIN_SECONDS:
                self._fail(DetectUnavailable("the run's time was up, and calls still hang; run again later"))
                hopeless = True
        if not hopeless:
            await self.sleep(self._patience)
        for task in list(self._under_way):
            task.cancel()


def raise_unless_useful(analysis: Analysis, records: int) -> None:
    """Refuse to end a run in which nothing had an outcome.

    :raises DetectError: there is no record at all, so the fault is none of the images'.
    """
    if records == 0 and analysis.given_up:
        last = next(reversed(analysis.given_up.values()))
        raise DetectUnavailable(f"no image had an outcome; last answer: {last.code}: {last.message}")
