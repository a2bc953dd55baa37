"""Which backend the manifests of a plan go to, kept beside the plan, and what each of them left."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

from moderation.analyse import bulk
from moderation.analyse.detect import eligibility, records
from moderation.analyse.detect.eligibility import Backend, Memory
from moderation.analyse.record import AnalysisRecord
from moderation.plan.plan import ManifestRef, Plan, PlanError
from moderation.settings import Settings
from moderation.storage import s3_objects
from moderation.storage.state import read_state, seal

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Where the manifests of a plan go; ``backend.json`` beside ``plan.json``.

    :param backend: ``bulk`` or ``detect``.
    :param reason: why ``auto`` did not take bulk jobs, for the report.
    :param detect: ids of manifests that DetectModerationLabels takes though bulk jobs were chosen.
    """

    backend: Backend
    reason: str | None = None
    detect: tuple[str, ...] = ()

    def taken_by(self, manifest: ManifestRef) -> str:
        """The backend that the manifest goes to."""
        return records.BACKEND if manifest.manifest_id in self.detect else self.backend

    def uses_detect(self, manifest: ManifestRef) -> bool:
        """Whether the manifest goes to DetectModerationLabels."""
        return self.taken_by(manifest) == records.BACKEND


@dataclass(frozen=True, kw_only=True)
class Tell:
    """Who can tell how the manifests of a plan ended.

    :param s3: a boto3 client.
    :param job_ids: what the tasks of bulk jobs returned.
    """

    s3: Any
    job_ids: tuple[str, ...]
    describe_job: bulk.DescribeJob
    list_jobs: bulk.ListJobs


def _of_jobs(plan: Plan, tell: Tell) -> list[AnalysisRecord]:
    return bulk.collect_records(plan, tell.job_ids, describe_job=tell.describe_job, list_jobs=tell.list_jobs)


def _of_calls(plan: Plan, tell: Tell) -> list[AnalysisRecord]:
    return records.collect_records(plan, s3=tell.s3)


COLLECTORS: dict[str, Callable[[Plan, Tell], list[AnalysisRecord]]] = {
    bulk.BACKEND: _of_jobs,
    records.BACKEND: _of_calls,
}
"""One record a manifest, by backend; a new backend is a module here and a row of this table."""


def choose(plan: Plan, *, settings: Settings, s3: Any, rekognition: Any) -> Choice:
    """Settle ``bulk | detect | auto`` for a plan, once: what was chosen before stays.

    :param rekognition: a boto3 client; asked, for nothing, only by ``auto`` and only when nothing is
        remembered of the account.
    """
    if known := read_choice(plan, s3=s3):
        return known
    known_before = memory(settings, s3)
    backend = eligibility.choose_backend(
        plan.backend, known_before, lambda: _ask(settings, rekognition), region=settings.region
    )
    reason = None
    if plan.backend == "auto" and backend == "detect" and (verdict := known_before.recall()):
        reason = verdict.text(settings.region)
    return _write(plan, Choice(backend=backend, reason=reason), s3=s3)


def fall_back(
    plan: Plan,
    job_ids: Iterable[str],
    *,
    settings: Settings,
    s3: Any,
    rekognition: Any,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
) -> list[ManifestRef]:
    """Give the manifests that DetectModerationLabels is to take, now that the bulk jobs have ended.

    With ``auto`` these are the ones without a job if it turns out that the account may start none. A job
    whose task died before it could tell its id counts, unless it has FAILED: it is paid for.

    :param job_ids: what the bulk tasks returned.
    """
    choice = read_choice(plan, s3=s3) or Choice(backend="bulk")
    started = list(job_ids)
    if choice.backend == "bulk" and plan.backend == "auto" and len(started) < len(plan.manifests):
        verdict = _ask(settings, rekognition)
        if not verdict.eligible:
            reason = memory(settings, s3).learn(verdict).text(settings.region)
            _log.warning("%s", reason)
            read = {bulk.manifest_of(describe_job(job_id)) for job_id in started}
            read |= _read_by_jobs(plan, list_jobs)
            left = tuple(manifest.manifest_id for manifest in plan.manifests if manifest.uri not in read)
            choice = _write(plan, replace(choice, reason=reason, detect=left), s3=s3)
    return [manifest for manifest in plan.manifests if choice.uses_detect(manifest)]


def _read_by_jobs(plan: Plan, list_jobs: bulk.ListJobs) -> set[str | None]:
    """Manifests of recent jobs that have not failed; none where the account may not even list jobs."""
    try:
        jobs = list(list_jobs(bulk.started_since(plan)))
    except Exception as error:
        if not eligibility.means_ineligible(getattr(error, "code", None), str(error)):
            raise
        return set()
    return {bulk.manifest_of(job) for job in jobs if job["Status"] != "FAILED"}


def collect_records(
    plan: Plan,
    job_ids: Iterable[str],
    *,
    s3: Any,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
) -> list[AnalysisRecord]:
    """One record a manifest, in the plan's order, whichever backend took it.

    :raises bulk.JobNotEndedError: a bulk job still runs; detect.OwnedElsewhere: a detect task still works.
    """
    choice = read_choice(plan, s3=s3) or Choice(backend="bulk")
    tell = Tell(s3=s3, job_ids=tuple(job_ids), describe_job=describe_job, list_jobs=list_jobs)
    found: dict[str, AnalysisRecord] = {}
    for name, collect in COLLECTORS.items():
        its_own = tuple(manifest for manifest in plan.manifests if choice.taken_by(manifest) == name)
        if its_own:
            collected = collect(replace(plan, manifests=its_own), tell)
            found |= {record.manifest_id: record for record in collected}
    return [found[manifest.manifest_id] for manifest in plan.manifests]


def read_choice(plan: Plan, *, s3: Any) -> Choice | None:
    """What was chosen for the plan; None before :func:`choose`.

    :raises PlanError: the file is damaged.
    """
    remedy = (
        "delete it and clear the task plan. With backend=auto look that the same backend is chosen again: "
        "what another was paid for, this one cannot know"
    )
    return read_state(s3, _uri(plan), parse=_parse, error=PlanError, remedy=remedy)


def _parse(content: dict[str, Any]) -> Choice:
    backend = content["backend"]
    if backend not in COLLECTORS:
        raise ValueError(f"there is no backend {backend!r}")
    return Choice(backend=backend, reason=content["reason"], detect=tuple(content["detect"]))


def _write(plan: Plan, choice: Choice, *, s3: Any) -> Choice:
    s3_objects.put(s3, _uri(plan), seal(asdict(choice)))
    return choice


def _uri(plan: Plan) -> str:
    return f"{plan.folder_uri}/backend.json"


def memory(settings: Settings, s3: Any) -> Memory:
    """What is remembered of the account in the region of the settings."""
    return Memory(s3, s3_objects.join_uri(settings.work_uri, "account"), settings.region)


def _ask(settings: Settings, rekognition: Any) -> eligibility.Verdict:
    return eligibility.ask(rekognition, bucket=s3_objects.split_uri(settings.work_uri).bucket)
