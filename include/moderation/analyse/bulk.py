"""The bulk backend's side of an analysis record: what GetMediaAnalysisJob says of a manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.errors import TransientError
from moderation.plan.plan import ManifestRef, Plan

BACKEND = "bulk"
_ENDED = {"SUCCEEDED": JobStatus.SUCCEEDED, "FAILED": JobStatus.FAILED}

_NO_JOB = (
    "no job was started, as the log of its analyse task says; clear that task to start it, or, if bulk jobs "
    "are closed to the account, run again with backend=auto or backend=detect"
)
_CLOCK_SKEW = timedelta(hours=1)

DescribeJob = Callable[[str], Mapping[str, Any]]
"""Gives the GetMediaAnalysisJob answer for a job id."""

ListJobs = Callable[[datetime], Iterable[Mapping[str, Any]]]
"""Gives the ListMediaAnalysisJobs entries created since a time, newest first."""


class JobNotEndedError(TransientError):
    """A job still runs, so its manifest cannot be recorded yet; the message names the job and its status."""


def collect_records(
    plan: Plan, job_ids: Iterable[str], *, describe_job: DescribeJob, list_jobs: ListJobs
) -> list[AnalysisRecord]:
    """Return one record a manifest, in the plan's order.

    Jobs are told apart by the manifest they read, which no two plans share. A manifest that no given job read
    is looked for among the recent jobs: its job may have failed, or may have been started by a task that
    died before it could say so. Only a job that really does not exist leaves a record without one.

    :param job_ids: what the analyse tasks returned, in any order, those that failed left out.
    :raises JobNotEndedError: a job still runs.
    """
    jobs = _by_manifest(describe_job(job_id) for job_id in job_ids)
    if any(manifest.uri not in jobs for manifest in plan.manifests):
        jobs = {**_by_manifest(list_jobs(started_since(plan))), **jobs}
    return [
        record_of_job(plan, manifest, jobs[manifest.uri])
        if manifest.uri in jobs
        else record_without_job(plan, manifest, _NO_JOB)
        for manifest in plan.manifests
    ]


def started_since(plan: Plan) -> datetime:
    """The earliest time at which AWS's clock may have seen a job of the plan."""
    return datetime.fromisoformat(plan.created_at) - _CLOCK_SKEW


def _by_manifest(jobs: Iterable[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """The newest job of each manifest."""
    newest: dict[str, Mapping[str, Any]] = {}
    for job in jobs:
        uri = _uri(job["Input"]) or ""
        if uri not in newest or job["CreationTimestamp"] > newest[uri]["CreationTimestamp"]:
            newest[uri] = job
    return newest


def manifest_of(job: Mapping[str, Any]) -> str | None:
    """The manifest that a job reads.

    :param job: answer of GetMediaAnalysisJob.
    """
    return _uri(job["Input"])


def is_started(manifest_uri: str, jobs: Iterable[Mapping[str, Any]]) -> bool:
    """Whether one of the jobs reads the manifest and has not failed."""
    return any(manifest_of(job) == manifest_uri and job["Status"] != "FAILED" for job in jobs)


def record_of_job(plan: Plan, manifest: ManifestRef, job: Mapping[str, Any]) -> AnalysisRecord:
    """Return the record of a manifest whose job has ended.

    Both output keys are taken from the answer, never composed: AWS does not document their layout.

    :param job: answer of GetMediaAnalysisJob.
    :raises JobNotEndedError: it has neither SUCCEEDED nor FAILED.
    """
    status = _ENDED.get(job["Status"])
    if status is None:
        raise JobNotEndedError(
            f"media analysis job {job['JobId']} of manifest {manifest.manifest_id} is {job['Status']}; "
            "publish again when it has ended"
        )
    failure = job.get("FailureDetails", {})
    asked = job["OperationsConfig"].get("DetectModerationLabels", {})
    return AnalysisRecord(
        manifest_id=manifest.manifest_id,
        manifest_uri=manifest.uri,
        lines=manifest.lines,
        backend=BACKEND,
        status=status,
        job_id=job["JobId"],
        results_uri=_uri(job.get("Results")),
        summary_uri=_uri(job.get("ManifestSummary")),
        model_version=job.get("Results", {}).get("ModelVersions", {}).get("Moderation"),
        adapter=asked.get("ProjectVersion"),
        min_confidence=asked.get("MinConfidence", plan.min_confidence),
        started_at=_utc(job.get("CreationTimestamp")),
        completed_at=_utc(job.get("CompletionTimestamp")),
        failure_code=failure.get("Code"),
        failure_message=failure.get("Message"),
    )


def record_without_job(plan: Plan, manifest: ManifestRef, reason: str) -> AnalysisRecord:
    """Return the record of a manifest for which no job was started: its images are still owed.

    :param reason: why, for the rows of its images.
    """
    return AnalysisRecord(
        manifest_id=manifest.manifest_id,
        manifest_uri=manifest.uri,
        lines=manifest.lines,
        backend=BACKEND,
        status=JobStatus.NOT_STARTED,
        adapter=plan.adapter,
        min_confidence=plan.min_confidence,
        failure_code="NotStarted",
        failure_message=reason,
    )


def _uri(place: Mapping[str, Any] | None) -> str | None:
    where = (place or {}).get("S3Object")
    return f"s3://{where['Bucket']}/{where['Name']}" if where else None


def _utc(time: datetime | None) -> datetime | None:
    return time.astimezone(UTC) if time else None
