"""What a run is asked to do."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from moderation.plan.plan import PlanError
from moderation.reference import limits
from moderation.settings import Settings

BACKENDS = ("bulk", "detect", "auto")

_ADAPTER = re.compile(
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/[a-zA-Z0-9_.\-]{1,255}"
    r"/version/[a-zA-Z0-9_.\-]{1,255}/[0-9]+"
)
JOB_NAME = re.compile(r"[a-zA-Z0-9_.\-]{1,24}")


def asked_or_default(min_confidence: float | None, settings: Settings) -> dict[str, Any]:
    """What a `PlanRequest` is told of MinConfidence; None when nobody named one."""
    if min_confidence is None:
        return {"min_confidence": settings.min_confidence, "any_confidence": True}
    return {"min_confidence": min_confidence}


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What a run is asked to do.

    :param run_key: from :func:`run_key`, of ``dag_id`` and ``run_id``; these are "" where nobody can be asked
        of the run.
    :param source: see :func:`moderation.sources.open.open_source`.
    :param logical_time: the run's time, with a time zone; its UTC date is the partition of the run's rows.
    :param min_confidence: labels below this percentage are not asked for, 0 to 100.
    :param any_confidence: nobody named it: an answer at any other will do; see `Question`.
    :param adapter: ARN of a custom moderation adapter's version, or None.
    :param base_model_version: see :class:`moderation.plan.plan.Plan`.
    :param older_share: see :class:`moderation.plan.ledger.Question`.
    :param force: analyse again what is already moderated.
    :param backend: ``bulk``, ``detect`` or ``auto``.
    :param job_name: begins the names of the jobs; at most 24 of ``a-z A-Z 0-9 _ . -``.
    :param inspect: read the headers of S3 objects before they are sent.
    :param max_images: analyse no more than that in this run.
    :param max_lines: lines a manifest, at most 10,000.
    :raises PlanError: an argument is out of its range; the text names it.
    """

    run_key: str
    source: str
    logical_time: datetime
    min_confidence: float = 50.0
    adapter: str | None = None
    older_share: float | None = None
    force: bool = False
    backend: str = "bulk"
    job_name: str = "moderation"
    inspect: bool = True
    max_images: int | None = None
    max_lines: int = limits.MANIFEST_MAX_LINES
    any_confidence: bool = False
    base_model_version: str = ""
    dag_id: str = ""
    run_id: str = ""

    def __post_init__(self) -> None:
        number = self.min_confidence
        if isinstance(number, bool) or not math.isfinite(number) or not 0 <= number <= 100:
            raise PlanError(f"min_confidence={number}: expected a percentage from 0 to 100")
        if self.adapter is not None and not _ADAPTER.fullmatch(self.adapter):
            raise PlanError(f"adapter={self.adapter!r}: expected the ARN of an adapter version, or none")
        if self.backend not in BACKENDS:
            raise PlanError(f"backend={self.backend!r}: expected one of {', '.join(BACKENDS)}")
        if not JOB_NAME.fullmatch(self.job_name):
            raise PlanError(f"job_name={self.job_name!r}: expected 1 to 24 of a-z A-Z 0-9 _ . -")
        if self.max_images is not None and self.max_images < 1:
            raise PlanError(f"max_images={self.max_images}: expected a number above 0")
        if not 1 <= self.max_lines <= limits.MANIFEST_MAX_LINES:
            raise PlanError(f"max_lines={self.max_lines}: expected 1 to {limits.MANIFEST_MAX_LINES}")
        if self.logical_time.tzinfo is None:
            raise PlanError(f"logical_time={self.logical_time}: expected a time with a time zone")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", self.run_key):
            raise PlanError(f"run_key={self.run_key!r}: make it with plan.run_key(dag_id, run_id)")
