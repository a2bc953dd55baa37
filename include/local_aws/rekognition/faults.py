"""Misbehaviour on demand: rules that make the server fail the ways a remote service does.

A rule is data, so that it can be set by request, by environment or by a file, and the same seed fails the
same calls in the same order.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from local_aws.rekognition.wire.model import service_model

REQUEST_KINDS = {
    "throttle": "refused with ThrottlingException (or `code`), HTTP 400, before any work",
    "unavailable": "ThrottlingException with HTTP 500, Service Unavailable, before any work",
    "internal_error": "InternalServerError, HTTP 500, before any work",
    "ineligible": "AccessDeniedException: the account may not use the operation",
    "error": "refused with `code` and `message` before any work",
    "drop": "the connection is cut before any work",
    "slow": "the answer comes `seconds` later",
    "adapter_missing": "the answer lacks the ProjectVersion that was asked for",
    "lost_answer": "the work is done and paid for, then the connection is cut, after `seconds`",
}
JOB_KINDS = {
    "job_failed": "the job ends FAILED with `failure_code` once `after_images` images are done",
    "job_slow": "the job takes at least `seconds` more, spread over its images",
    "image_errors": "a `fraction` of the images fail with `code`",
    "adapter_missing": "a `fraction` of the answers lacks the ProjectVersion that was asked for",
    "results_missing": "a `fraction` of the result lines is missing",
    "results_duplicated": "a `fraction` of the result lines stands there twice",
    "results_malformed": "a `fraction` of the result lines is cut in the middle",
    "results_reordered": "the result lines stand in another order",
    "results_truncated": "the last result line is cut and has no line end",
}
_FAILURE_CODES = "MediaAnalysisJobFailureCode"


@dataclass(frozen=True)
class FaultRule:
    """One kind of misbehaviour and when it happens.

    :param kind: a key of :data:`REQUEST_KINDS` or :data:`JOB_KINDS`.
    :param operation: API operation it concerns, ``*`` for all; job kinds concern StartMediaAnalysisJob.
    :param job_name: only jobs of this name; None for all.
    :param probability: share of the calls it happens to.
    :param seed: makes the choice of calls, lines and images reproducible.
    :param skip: calls let through first.
    :param count: how often it happens at most; None for no bound.
    :param for_seconds: holds that long from the first call that it concerns; None for no bound.
    :param code: exception name for ``throttle``, ``error`` and ``image_errors``.
    :param message: text of the error; a plain one when None.
    :param seconds: for ``slow``, ``lost_answer`` and ``job_slow``.
    :param failure_code: one of AWS's MediaAnalysisJobFailureCode values.
    :param after_images: images a job does before ``job_failed``.
    :param fraction: share of lines or images.
    """

    kind: str
    operation: str = "*"
    job_name: str | None = None
    probability: float = 1.0
    seed: int = 0
    skip: int = 0
    count: int | None = None
    for_seconds: float | None = None
    code: str | None = None
    message: str | None = None
    seconds: float = 0.0
    failure_code: str = "INTERNAL_ERROR"
    after_images: int = 0
    fraction: float = 1.0

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise ValueError(problem)

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> FaultRule:
        """Read a rule.

        :raises ValueError: the rule has an unknown field, kind, operation or code, or a value out of range.
        """
        unknown = given.keys() - cls.__dataclass_fields__.keys()
        if unknown:
            raise ValueError(f"a fault has no field {', '.join(sorted(unknown))}")
        if "kind" not in given:
            raise ValueError("a fault needs a kind")
        try:
            return cls(**given)
        except TypeError as error:
            raise ValueError(f"a field of the fault has the wrong type: {error}") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the rule as :meth:`from_dict` reads it."""
        return asdict(self)

    def concerns(self, operation: str, job_name: str | None, *, jobs: bool) -> bool:
        """Whether the rule is about this call at all.

        :param jobs: whether the faults inside a new job are asked for, not those of a request.
        """
        if self.kind not in (JOB_KINDS if jobs else REQUEST_KINDS):
            return False
        if self.kind == "adapter_missing" and not jobs and operation != "DetectModerationLabels":
            return False
        return self.operation in {"*", operation} and self.job_name in {None, job_name}

    def _problem(self) -> str | None:
        if self.kind not in REQUEST_KINDS and self.kind not in JOB_KINDS:
            return f"there is no fault kind {self.kind!r}; known: {', '.join([*REQUEST_KINDS, *JOB_KINDS])}"
        if self.operation != "*" and self.operation not in service_model().operation_names:
            return f"there is no operation {self.operation!r}"
        if self.kind in {"error", "image_errors"} and not self.code:
            return f"{self.kind} needs a code"
        return self._problem_of_values()

    def _problem_of_values(self) -> str | None:
        codes = service_model().shape_for(_FAILURE_CODES).metadata["enum"]
        if self.failure_code not in codes:
            return f"there is no failure code {self.failure_code!r}; known: {', '.join(codes)}"
        if not 0 <= self.probability <= 1 or not 0 <= self.fraction <= 1:
            return "probability and fraction lie between 0 and 1"
        numbers = (self.skip, self.seconds, self.after_images, self.count or 0, self.for_seconds or 0)
        if min(numbers) < 0:
            return "skip, count, seconds, for_seconds and after_images are not negative"
        return None


@dataclass
class _Counted:
    rule: FaultRule
    seen: int = 0
    struck: int = 0
    since: float | None = None

    def is_over(self, now: float) -> bool:
        """Whether the rule's time is up; its clock starts with the first look."""
        self.since = now if self.since is None else self.since
        return self.rule.for_seconds is not None and now - self.since >= self.rule.for_seconds


@dataclass(frozen=True)
class Struck:
    """The faults that one call meets."""

    rules: tuple[FaultRule, ...] = ()

    def of(self, *kinds: str) -> FaultRule | None:
        """Return the first rule of these kinds, or None."""
        return next((rule for rule in self.rules if rule.kind in kinds), None)


class FaultBook:
    """The rules in force and how often each was met; safe to use from many threads.

    :param clock: monotonic seconds.
    """

    def __init__(
        self, rules: Iterable[FaultRule] = (), *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lock = threading.Lock()
        self._clock = clock
        self._counted = [_Counted(rule) for rule in rules]

    def replace(self, rules: Iterable[FaultRule]) -> None:
        """Put other rules in force; all counts start at nought."""
        with self._lock:
            self._counted = [_Counted(rule) for rule in rules]

    def add(self, rules: Iterable[FaultRule]) -> None:
        """Put more rules in force."""
        with self._lock:
            self._counted += [_Counted(rule) for rule in rules]

    def describe(self) -> list[dict[str, Any]]:
        """Return each rule with the calls it has ``seen`` and ``struck``."""
        with self._lock:
            return [
                {**item.rule.to_dict(), "seen": item.seen, "struck": item.struck} for item in self._counted
            ]

    def strike(self, operation: str, job_name: str | None = None, *, jobs: bool = False) -> Struck:
        """Decide which rules one call meets, and count it.

        :param jobs: ask for the faults inside a new job, in place of those of a request.
        """
        struck: list[FaultRule] = []
        with self._lock:
            for item in self._counted:
                rule = item.rule
                if not rule.concerns(operation, job_name, jobs=jobs):
                    continue
                item.seen += 1
                if item.is_over(self._clock()):
                    continue
                if item.seen <= rule.skip or (rule.count is not None and item.struck >= rule.count):
                    continue
                if random.Random(f"{rule.seed}:{rule.kind}:{item.seen}").random() < rule.probability:  # noqa: S311 - repeatable choice, no secret
                    item.struck += 1
                    struck.append(rule)
        return Struck(tuple(struck))


def chosen(rule: FaultRule, number: int) -> bool:
    """Whether line or image ``number`` is among the rule's fraction; the same on every run."""
    return random.Random(f"{rule.seed}:{rule.kind}:{number}").random() < rule.fraction  # noqa: S311 - as above
