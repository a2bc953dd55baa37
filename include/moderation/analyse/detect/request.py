"""What is asked of a detect run, how it goes about it, and what came of it."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from moderation.analyse.detect.errors import DetectArgumentError
from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.variables.machine import MachineSettings

UTILISATION = 0.995
"""Share of the quota that is used: clocks differ, and what lies above costs throttles."""


def default_spool_dir() -> Path:
    """Where answers are kept on this machine: ``MODERATION_SPOOL_DIR``, else a private folder of temp."""
    configured = MachineSettings.from_env().spool_dir
    return configured or Path(tempfile.gettempdir()) / f"moderation-detect-{os.getuid()}"


@dataclass(frozen=True, kw_only=True)
class DetectRequest:
    """One manifest to moderate.

    :param manifest_uri: ``s3://…`` of the manifest.
    :param output_uri: ``s3://bucket/prefix`` under which a folder named by the job id gets the two files.
    :param min_confidence: MinConfidence, 0..100; None for AWS's own.
    :param project_version: ARN of an adapter version; None for the base model.
    """

    manifest_uri: str
    output_uri: str
    min_confidence: float | None = None
    project_version: str | None = None

    def __post_init__(self) -> None:
        value = self.min_confidence
        if value is not None and not (math.isfinite(value) and 0 <= value <= 100):
            raise DetectArgumentError(f"min_confidence must lie between 0 and 100, not {value!r}")

    def job_id(self, manifest_sha256: str) -> str:
        """The run's name, the same for the same work: a retry finds what an earlier try has left."""
        least = None if self.min_confidence is None else float(self.min_confidence)
        work = [manifest_sha256, least, self.project_version]
        return f"detect-{hashlib.sha256(orjson.dumps(work)).hexdigest()[:32]}"

    def parameters(self) -> dict[str, Any]:
        """What all calls have in common, as DetectModerationLabels takes it."""
        given = {"MinConfidence": self.min_confidence, "ProjectVersion": self.project_version}
        return {name: value for name, value in given.items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class DetectOptions:
    """How a run goes about it; none of this changes the files. Times in seconds.

    :param max_in_flight: calls under way at once, and so the most that a kill can cost. None for three
        seconds' worth of the quota.
    :param image_seconds: how long one image is tried again after transient errors; an outage of the whole
        service does not count.
    :param total_seconds: how long the run may take; what is not answered then becomes an error entry.
    :param outage_seconds: how long nothing at all may succeed before the run gives up, to be retried.
    :param part_seconds: how often new answers are copied to S3, for another machine to go on from.
    :param owner_seconds: age at which a silent owner of the manifest counts as dead.
    :param spool_dir: local folder for answers; None for the default.
    :param stopped: tells whether the run is to end early, keeping what is answered; asked every half second.
    :param stops_without_adapter: once the base model answers in the adapter's place, ask no more: the rest
        becomes error entries that a later run takes up.
    """

    max_in_flight: int | None = None
    image_seconds: float = 300.0
    total_seconds: float = 24 * 3600.0
    outage_seconds: float = 600.0
    part_seconds: float = 10.0
    owner_seconds: float = 30.0
    spool_dir: Path | None = None
    stopped: Callable[[], bool] = lambda: False
    stops_without_adapter: bool = False

    def __post_init__(self) -> None:
        if self.max_in_flight is not None and self.max_in_flight < 1:
            raise DetectArgumentError(f"max_in_flight must be at least 1, not {self.max_in_flight}")
        for name in ("image_seconds", "total_seconds", "outage_seconds", "part_seconds", "owner_seconds"):
            if not getattr(self, name) > 0:
                raise DetectArgumentError(f"{name} must be above 0, not {getattr(self, name)!r}")
        if self.part_seconds > self.owner_seconds / 2:
            raise DetectArgumentError("part_seconds must be at most half of owner_seconds")

    def in_flight(self, quota: float) -> int:
        """Calls under way at once for a quota."""
        return self.max_in_flight or min(256, max(8, math.ceil(3 * quota)))


@dataclass(frozen=True, kw_only=True)
class DetectOutcome:
    """What a finished run left; small enough for XCom.

    :param job_id: the run's deterministic name, ``detect-<32 hex>``.
    :param lines: lines of the manifest that are not blank.
    :param images: lines that name an image.
    :param billed: images answered, which is what AWS bills.
    :param failed: lines that became error entries.
    :param failed_transient: those of them that another run may still bring in.
    :param adapter_missing: answers without the ProjectVersion that was asked for; not 0 means that the base
        model answered, as it does for an expired adapter.
    :param resumed: answers found in the checkpoint of an earlier try and not asked again.
    :param calls: calls made by the try that finished.
    :param throttles: calls refused for their rate, in that try.
    :param retries: calls repeated, in that try.
    :param seconds: time spent on calls, in that try.
    :param achieved_tps: answered calls a second, in that try.
    """

    job_id: str
    manifest_uri: str
    results_uri: str
    summary_uri: str
    lines: int
    images: int
    billed: int
    failed: int
    failed_transient: int
    adapter_missing: int
    model_version: str | None
    adapter: str | None
    min_confidence: float | None
    started_at: str
    completed_at: str
    resumed: int
    calls: int
    throttles: int
    retries: int
    seconds: float
    achieved_tps: float

    def to_dict(self) -> dict[str, Any]:
        """The outcome as plain JSON values."""
        return asdict(self)

    def to_record(self, manifest_id: str) -> AnalysisRecord:
        """The job record that publishing reads, as for a bulk job."""
        return AnalysisRecord(
            manifest_id=manifest_id,
            manifest_uri=self.manifest_uri,
            lines=self.lines,
            backend="detect",
            status=JobStatus.SUCCEEDED,
            job_id=self.job_id,
            results_uri=self.results_uri,
            summary_uri=self.summary_uri,
            model_version=self.model_version,
            adapter=self.adapter,
            min_confidence=self.min_confidence,
            started_at=datetime.fromisoformat(self.started_at),
            completed_at=datetime.fromisoformat(self.completed_at),
        )
