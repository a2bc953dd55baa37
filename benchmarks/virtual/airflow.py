"""A model of Airflow's scheduler: pool, workers, triggerer, retries, and the seconds that each step takes.

What a task does is the plugin's own code, and so is what becomes of it when it fails (its retry policy).
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from airflow.sdk import RetryAction
from airflow.sdk.exceptions import AirflowException, TaskDeferred

from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.retry_policy import rekognition_retry_policy
from virtual.plugin import Plugin, Store, instance
from virtual.service import Service
from virtual.time import in_worker

RETRIES, RETRY_DELAY = 3, timedelta(seconds=30)
"""As in the Dag *Moderate images*."""


@dataclass(frozen=True)
class Overheads:
    """Seconds of each step, give or take half of it.

    Assumed of a scheduler that is not busy; two cores busy with other work took ten times as long.

    :param queued: from the time when nothing holds a task back until the executor has it.
    :param begun: from there until the task's own code runs.
    :param ended: from the code's end until the scheduler counts its slot as free.
    :param event: from the time when a trigger fires until nothing holds its task back.
    """

    queued: float = 1.0
    begun: float = 2.0
    ended: float = 0.5
    event: float = 1.5


class Pool:
    """Slots that a deferred task keeps; the task of the least rank comes first."""

    def __init__(self, slots: int) -> None:
        self.free = slots
        self._waiting: list[tuple[Any, int, asyncio.Future[None]]] = []
        self._count = itertools.count()

    @asynccontextmanager
    async def slot(self, rank: Any) -> AsyncIterator[None]:
        if self.free > 0 and not self._waiting:
            self.free -= 1
        else:
            turn = asyncio.get_running_loop().create_future()
            heapq.heappush(self._waiting, (rank, next(self._count), turn))
            await turn
        try:
            yield
        finally:
            if self._waiting:
                heapq.heappop(self._waiting)[2].set_result(None)
            else:
                self.free += 1


@dataclass
class Airflow:
    """One scheduler with its pool.

    :param workers: tasks whose code may run at once (`core.parallelism`).
    :ivar processes: task processes that were begun, by task.
    """

    service: Service
    pool: Pool
    overheads: Overheads
    poll_seconds: float = 30.0
    workers: int = 32
    processes: Counter[str] = field(default_factory=Counter)
    failed: int = 0

    def __post_init__(self) -> None:
        self._plugin = Plugin(self.service)
        self._policy = moderation_retry_policy(also=rekognition_retry_policy())
        self._dice = random.Random(self.service.draw.seed)
        self._running = asyncio.Semaphore(self.workers)

    async def task(self, name: str, seconds: float = 0.0) -> None:
        """A task of a run that takes so long."""
        self.processes[name] += 1
        await self._pause(self.overheads.queued + self.overheads.begun)
        await asyncio.sleep(seconds)
        await self._pause(self.overheads.ended)

    async def analyse(self, run_id: str, index: int, uri: str, began: Callable[[], None], rank: Any) -> bool:
        """A mapped task of *analyse*; whether it succeeded.

        :param began: is called when it has its slot.
        """
        ti, store = instance(run_id, index), Store()
        while True:
            async with self.pool.slot((rank, index)):
                began()
                try:
                    job_id = await self._try(self._operator(uri), ti, store)
                except AirflowException as error:
                    decision = self._policy.evaluate(error, ti.try_number, ti.max_tries)
                else:
                    self.service.forget(job_id)
                    return True
                finally:
                    await self._pause(self.overheads.ended)
            if decision.action == RetryAction.FAIL or ti.try_number > ti.max_tries:
                self.failed += 1
                return False
            await asyncio.sleep((decision.retry_delay or RETRY_DELAY).total_seconds())
            ti.try_number += 1

    def _operator(self, uri: str) -> Any:
        return self._plugin.operator(
            task_id="analyse",
            input_uri=uri,
            output_uri="s3://work/output/",
            min_confidence=50.0,
            deferrable=True,
            poll_interval=self.poll_seconds,
            aws_conn_id=None,
        )

    async def _try(self, operator: Any, ti: SimpleNamespace, store: Store) -> str:
        """From the first process of a try to its end, through the triggerer."""
        context = {"ti": ti, "task_state_store": store}
        method, event = operator.execute, None
        while True:
            await self._pause(self.overheads.queued + self.overheads.begun)
            self.processes["analyse"] += 1
            async with self._running:
                try:
                    given = (context,) if event is None else (context, event)
                    return str(await in_worker(method, *given))
                except TaskDeferred as deferred:
                    wait = deferred
            trigger = self._plugin.rebuilt(wait.trigger)
            (event,) = [found.payload async for found in trigger.run()]
            await self._pause(self.overheads.event)
            method = getattr(operator, wait.method_name)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds * self._dice.uniform(0.5, 1.5))
