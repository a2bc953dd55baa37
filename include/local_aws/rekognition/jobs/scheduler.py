"""Moving jobs through their states and running a few of them at a time."""

from __future__ import annotations

import threading
import time

from local_aws.rekognition.jobs.job_run import JobRun, Workshop
from local_aws.rekognition.jobs.store import Job

_LONGEST_WAIT = 5.0


class Scheduler:
    """A thread that takes each open job from CREATED over QUEUED to IN_PROGRESS when its time has come.

    Jobs that a former process left open are taken up where they stood.
    """

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._changed = threading.Condition()
        self._running: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._loop, name="scheduler")

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Say that there is a new job."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """Wait until the jobs in hand have stopped; ``Workshop.stopping`` must be set before."""
        self.wake()
        self._thread.join()
        for thread in list(self._running.values()):
            thread.join()

    def _loop(self) -> None:
        while not self._shop.stopping.is_set():
            with self._changed:
                delay = self._step()
                if not self._shop.stopping.is_set():
                    self._changed.wait(delay)

    def _step(self) -> float:
        """Advance what is due; return seconds until the next job is due."""
        delay = _LONGEST_WAIT
        now = time.time()
        for job in self._shop.store.open_jobs():
            due = self._due(job)
            if due > now:
                delay = min(delay, due - now)
            elif job.status == "CREATED":
                self._shop.store.advance(job.job_id, "QUEUED")
                delay = 0.0
            elif job.job_id not in self._running and len(self._running) < self._shop.settings.running_jobs:
                self._shop.store.advance(job.job_id, "IN_PROGRESS")
                self._begin(self._shop.store.job(job.job_id))
        return delay

    def _due(self, job: Job) -> float:
        """When the job's next state begins; seconds since 1970."""
        settings = self._shop.settings
        if job.status == "CREATED":
            return job.created_at + settings.created_seconds
        if job.status == "QUEUED":
            return job.created_at + settings.created_seconds + settings.queued_seconds
        return 0.0

    def _begin(self, job: Job) -> None:
        thread = threading.Thread(target=self._do, args=(job,), name=f"job-{job.job_id[:8]}")
        self._running[job.job_id] = thread
        thread.start()

    def _do(self, job: Job) -> None:
        try:
            JobRun(job, self._shop).run()
        finally:
            with self._changed:
                self._running.pop(job.job_id, None)
                self._changed.notify()
