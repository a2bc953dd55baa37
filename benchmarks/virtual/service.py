"""Rekognition as far as quotas, the course of jobs and refusals go: no image, no request on a wire."""

from __future__ import annotations

import hashlib
import heapq
import math
import random
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import ClientError

from moderation.reference import limits
from virtual.time import VirtualLoop

_PUBLISHED = limits.quotas("us-east-1")
TPS = {
    "StartMediaAnalysisJob": _PUBLISHED.start_job_tps,
    "GetMediaAnalysisJob": _PUBLISHED.get_job_tps,
    "ListMediaAnalysisJobs": _PUBLISHED.list_jobs_tps,
}


@dataclass(frozen=True)
class Draw:
    """How jobs go; the same for the same manifest and try.

    :param speed: images a second of the median job.
    :param spread: of the logarithm of a job's time.
    :param tail: this share of jobs takes at least twice as long, by Pareto's law; at most ``longest`` times.
    :param failing: share of jobs that fail, anywhere on their way.
    """

    speed: float
    spread: float = 0.3
    tail: float = 0.02
    alpha: float = 1.5
    longest: float = 20.0
    failing: float = 0.01
    seed: int = 7

    def of(self, manifest: str, attempt: int, lines: int) -> tuple[float, bool]:
        """Seconds, and whether it succeeds."""
        digest = hashlib.sha256(f"{self.seed} {manifest} {attempt}".encode()).digest()
        dice = random.Random(digest)
        seconds = lines / self.speed * math.exp(dice.gauss(0.0, self.spread))
        if dice.random() < self.tail:
            seconds *= min(self.longest, 2.0 * dice.paretovariate(self.alpha))
        if dice.random() < self.failing:
            return max(1.0, seconds * dice.random()), False
        return max(1.0, seconds), True


def arranged(draw: Draw, manifests: Iterable[tuple[str, int]], slots: int) -> float:
    """Seconds of the same jobs in the same order, each begun in the moment in which a slot falls free.

    A job that fails is begun again at once. This is what the quota alone allows to whoever does not know
    beforehand how long a job takes.
    """
    free = [0.0] * slots
    end = 0.0
    for manifest, lines in manifests:
        attempt, succeeds = 0, False
        while not succeeds:
            begin = heapq.heappop(free)
            seconds, succeeds = draw.of(manifest, attempt, lines)
            attempt += 1
            heapq.heappush(free, begin + seconds)
            end = max(end, begin + seconds)
    return end


@dataclass(frozen=True)
class Storm:
    """Between these seconds so large a share of all calls is throttled."""

    begins: float
    ends: float
    share: float = 0.9


class Refused(ClientError):
    """As boto raises it, without the text that nobody reads."""

    def __init__(self, code: str) -> None:
        self.response = {"Error": {"Code": code, "Message": "refused"}}  # type: ignore[typeddict-item]
        self.operation_name = ""
        Exception.__init__(self, code)


@dataclass
class Job:
    """A job that was started."""

    job_id: str
    request: Mapping[str, Any]
    created: float
    ends: float
    succeeds: bool

    def described(self, now: float) -> dict[str, Any]:
        """What GetMediaAnalysisJob says, as far as somebody reads it."""
        if now < self.ends:
            return {"JobId": self.job_id, "Status": "IN_PROGRESS"}
        if self.succeeds:
            return {"JobId": self.job_id, "Status": "SUCCEEDED"}
        details = {"Code": "INTERNAL_ERROR", "Message": "of the draw"}
        return {"JobId": self.job_id, "Status": "FAILED", "FailureDetails": details}


@dataclass
class Tallied:
    """Calls of an operation.

    :param most: in any one second.
    """

    calls: int = 0
    throttled: int = 0
    most: int = 0


@dataclass
class Service:
    """The account's side of bulk jobs; those that were told of are forgotten, so memory stays flat."""

    loop: VirtualLoop
    slots: int
    draw: Draw
    lines: Mapping[str, int] | int
    storm: Storm | None = None
    calls: dict[str, Tallied] = field(default_factory=lambda: {name: Tallied() for name in TPS})
    busy_seconds: float = 0.0
    longest: float = 0.0
    started: int = 0
    full: int = 0
    first_start: float | None = None
    last_end: float = 0.0
    _jobs: dict[str, Job] = field(default_factory=dict)
    _tokens: dict[str, str] = field(default_factory=dict)
    _open: list[float] = field(default_factory=list)
    _tries: Counter[str] = field(default_factory=Counter)
    _recent: dict[str, deque[float]] = field(default_factory=lambda: {name: deque() for name in TPS})

    def __post_init__(self) -> None:
        self._dice = random.Random(self.draw.seed)

    def start_media_analysis_job(self, **request: Any) -> dict[str, Any]:
        """StartMediaAnalysisJob."""
        self._admit("StartMediaAnalysisJob")
        now, token = self.loop.time(), request["ClientRequestToken"]
        if token in self._tokens:
            return {"JobId": self._tokens[token]}
        self._open = [end for end in self._open if end > now]
        if len(self._open) >= self.slots:
            self.full += 1
            raise Refused("LimitExceededException")
        manifest = request["Input"]["S3Object"]["Name"]
        lines = self.lines if isinstance(self.lines, int) else self.lines[manifest]
        seconds, succeeds = self.draw.of(manifest, self._tries[manifest], lines)
        self._tries[manifest] += 1
        if succeeds:
            del self._tries[manifest]
        self.started += 1
        job = Job(f"{self.started:064x}", request, now, now + seconds, succeeds)
        self._jobs[job.job_id] = job
        self._tokens[token] = job.job_id
        self._open.append(job.ends)
        self.busy_seconds += seconds
        self.longest = max(self.longest, seconds)
        self.first_start = now if self.first_start is None else self.first_start
        self.last_end = max(self.last_end, job.ends)
        return {"JobId": job.job_id}

    def get_media_analysis_job(self, *, JobId: str) -> dict[str, Any]:
        """GetMediaAnalysisJob."""
        self._admit("GetMediaAnalysisJob")
        return self._jobs[JobId].described(self.loop.time())

    def list_media_analysis_jobs(self, **_: Any) -> dict[str, Any]:
        """ListMediaAnalysisJobs: newest first, one page."""
        self._admit("ListMediaAnalysisJobs")
        found = [
            {**job.described(self.loop.time()), "JobName": job.request["JobName"],
             "CreationTimestamp": self.loop.now()}
            for job in list(self._jobs.values())[::-1][:100]
        ]  # fmt: skip
        return {"MediaAnalysisJobs": found}

    def forget(self, job_id: str) -> None:
        """Whoever asked for it has its end."""
        job = self._jobs.pop(job_id)
        del self._tokens[job.request["ClientRequestToken"]]

    @property
    def bound(self) -> float:
        """Seconds that the jobs as drawn take at least, however they are arranged in the slots."""
        return max(self.busy_seconds / self.slots, self.longest)

    def _admit(self, operation: str) -> None:
        tally, recent, now = self.calls[operation], self._recent[operation], self.loop.time()
        tally.calls += 1
        while recent and recent[0] <= now - 1.0:
            recent.popleft()
        stormy = self.storm is not None and self.storm.begins <= now < self.storm.ends
        if len(recent) >= TPS[operation] or (stormy and self._dice.random() < self.storm.share):  # type: ignore[union-attr]
            tally.throttled += 1
            raise Refused("ThrottlingException")
        recent.append(now)
        tally.most = max(tally.most, len(recent))
