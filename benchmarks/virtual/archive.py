"""An archive's conductor, and the runs that it begins."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from moderation.archive.backfill import conductor
from moderation.archive.backfill.spend import Spent
from moderation.archive.backfill.state import Archive, Chunk, Options
from virtual.airflow import Airflow
from virtual.time import VirtualLoop

EVERY = 300.0
"""Seconds between two looks of the conductor, as in the Dag *Backfill archive*."""
_AT_LEAST = 6 * 3600.0
_FREE = conductor.Means(Spent(0.0, 0.0, 0.0), 0.0)
TASKS_OF_RUN = ("discover", "plan", "approve", "single_calls", "detect", "publish", "load", "report")
TASKS_OF_LOOK = ("look", "begin", "begun", "ended", "reconcile")


@dataclass(frozen=True)
class Pace:
    """How fast the tasks beside the jobs are, images a second.

    :param plan: listing, reading each image's header (16 threads, 25 ms a request), cutting.
    :param publish: flattening, publishing, loading, reporting.
    """

    plan: float = 640.0
    publish: float = 20_000.0


def archive_of(plan: Sequence[int], chunks: int) -> Archive:
    """As many chunks as asked for, each of manifests with so many lines."""
    images = sum(plan)
    return Archive(
        name="simulated",
        source="s3://photos/archive",
        options=Options(chunk_images=images),
        chunks=tuple(
            Chunk(number=number, uri=f"s3://work/chunk-{number}", images=images, first="a", last="z")
            for number in range(1, chunks + 1)
        ),
    )


@dataclass
class Backfill:
    """Works an archive off, as *Backfill archive* and *Moderate images* do."""

    loop: VirtualLoop
    airflow: Airflow
    archive: Archive
    plan: Sequence[int]
    pace: Pace = Pace()
    states: dict[str, str] = field(default_factory=dict)
    ahead: dict[str, int] = field(default_factory=dict)
    most_at_once: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _runs: set[asyncio.Task[None]] = field(default_factory=set)

    async def work_off(self) -> Archive:
        """Look, begin what is to begin, and wait for the next look, until nothing is left."""
        while True:
            now, at = self.loop.now(), self.loop.time()
            seen = conductor.observe(self.archive, self.states, now=now)
            (found,), asks = conductor.choose(
                [seen], {seen.name: _FREE}, others=0, asker=f"{at}", now=now, work=self._work()
            )
            await self.airflow.task("look")
            for ask in asks:
                await self.airflow.task("begin")
                self._begin(ask)
            self.archive = conductor.begun(found, {ask.archive.run_id(ask.chunk) for ask in asks})
            if conductor.is_over(self.archive):
                return self.archive
            await self._next_look(at, bool(asks))

    def _work(self) -> conductor.Work:
        return conductor.Work(slots=self.airflow.service.slots, ahead=dict(self.ahead))

    async def _next_look(self, last: float, again: bool) -> None:
        """A look that would see what the last one saw is left out; it would change nothing."""
        if not again:
            self._changed.clear()
            try:
                async with asyncio.timeout(_AT_LEAST):
                    await self._changed.wait()
            except TimeoutError:
                pass
        await asyncio.sleep(EVERY - (self.loop.time() - last) % EVERY)

    def _begin(self, ask: conductor.Ask) -> None:
        run_id = ask.archive.run_id(ask.chunk)
        self.states[run_id] = "running"
        task = asyncio.ensure_future(self._run(run_id, ask.chunk.number))
        self._runs.add(task)
        task.add_done_callback(self._runs.discard)
        self.most_at_once = max(self.most_at_once, len(self._runs))

    async def _run(self, run_id: str, number: int) -> None:
        images, airflow = sum(self.plan), self.airflow
        self.ahead[run_id] = len(self.plan)
        await airflow.task("discover", images / self.pace.plan)
        for name in ("plan", "approve"):
            await airflow.task(name)
        await asyncio.gather(
            *(
                airflow.analyse(run_id, index, uri, self._began(run_id), number)
                for index, uri in enumerate(manifests_of(number, len(self.plan)))
            )
        )
        for name in ("single_calls", "publish", "load", "report"):
            await airflow.task(name, images / self.pace.publish if name == "publish" else 0.0)
        del self.ahead[run_id]
        self.states[run_id] = "success"
        self._changed.set()

    def _began(self, run_id: str) -> Any:
        waiting = [True]

        def began() -> None:
            if waiting:
                waiting.clear()
                self.ahead[run_id] -= 1
                self._changed.set()

        return began


def manifests_of(number: int, count: int) -> list[str]:
    """Where the manifests of a chunk are."""
    return [f"s3://work/{number:05d}/m{index:05d}.jsonl" for index in range(count)]
