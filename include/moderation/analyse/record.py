"""What ran for a manifest: the record of its job."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from moderation.errors import NeedsAPersonError
from moderation.storage.state import parse_state, read_state, seal

_REMEDY = "delete it and clear the publish task, which writes it anew"


class RecordError(NeedsAPersonError, ValueError):
    """A job record is damaged; the message names the file, the fault and the remedy."""


class JobStatus(StrEnum):
    """How a manifest's job ended."""

    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    NOT_STARTED = "NOT_STARTED"


@dataclass(frozen=True, kw_only=True)
class AnalysisRecord:
    """What ran for one manifest; stored as JSON under ``<plan>/jobs/<manifest_id>.json``.

    :param manifest_id: the manifest, as in the plan.
    :param manifest_uri: where it is.
    :param lines: how many images it lists.
    :param backend: ``bulk`` or ``detect``.
    :param status: how the job ended. SUCCEEDED does not mean that every image was analysed.
    :param job_id: the job; None when none started.
    :param results_uri: the raw answers, as the service named the file.
    :param summary_uri: the manifest summary, as the service named the file.
    :param model_version: moderation model that the job reports.
    :param adapter: ARN of the adapter asked for.
    :param min_confidence: MinConfidence asked for, percent.
    :param failure_code: why it failed, as the service spells it.
    :param billed: images that were billed, where answers were erased from the results since; else None.
    """

    manifest_id: str
    manifest_uri: str
    lines: int
    backend: str
    status: JobStatus
    job_id: str | None = None
    results_uri: str | None = None
    summary_uri: str | None = None
    model_version: str | None = None
    adapter: str | None = None
    min_confidence: float | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
    failure_code: str | None = None
    failure_message: str | None = None
    billed: int | None = None

    def to_json(self) -> bytes:
        """The record, sealed with a checksum: equal records have equal bytes."""
        content = asdict(self)
        if self.billed is None:  # as it always was: a load's files are named after these bytes
            del content["billed"]
        return seal(content)

    @classmethod
    def from_json(cls, data: bytes, *, where: str) -> AnalysisRecord:
        """Read a record; unknown keys are ignored, so that a later release may add some.

        :param where: the file, for error messages.
        :raises RecordError: any byte differs from what was written, or the bytes are no record.
        """
        return parse_state(data, where, parse=_parse, error=RecordError, remedy=_REMEDY)


def read_record(s3: Any, uri: str) -> AnalysisRecord | None:
    """The record that lies at ``uri``; None when there is none: the job has not ended, or never began.

    :raises RecordError: it is damaged; S3Error: S3 cannot be read.
    """
    return read_state(s3, uri, parse=_parse, error=RecordError, remedy=_REMEDY)


def _parse(values: dict[str, Any]) -> AnalysisRecord:
    known = {field.name: values[field.name] for field in fields(AnalysisRecord) if field.name in values}
    known["status"] = JobStatus(known["status"])
    for name in ("started_at", "completed_at"):
        known[name] = _utc(known.get(name))
    record = AnalysisRecord(**known)
    _check(record)
    return record


_TEXT_FIELDS = ("manifest_id", "manifest_uri", "backend")
_OPTIONAL_TEXT_FIELDS = (
    "job_id",
    "results_uri",
    "summary_uri",
    "model_version",
    "adapter",
    "failure_code",
    "failure_message",
)


def _check(record: AnalysisRecord) -> None:
    for name in _TEXT_FIELDS:
        if not isinstance(getattr(record, name), str):
            raise TypeError(f"{name} is no text")
    for name in _OPTIONAL_TEXT_FIELDS:
        if not isinstance(getattr(record, name), str | None):
            raise TypeError(f"{name} is no text")
    if type(record.lines) is not int or record.lines < 0:
        raise ValueError("lines is no count")
    if record.billed is not None and (type(record.billed) is not int or record.billed < 0):
        raise ValueError("billed is no count")
    if not isinstance(record.min_confidence, float | int | None):
        raise TypeError("min_confidence is no number")


def _utc(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
