"""Publish what was asked of a plan, by its own run; or what a run that died has paid for, by the next one.

A run can die between its first payment and its publish: killed, parked with its chunk, failed for good, or
deleted in Airflow. Its claim then holds although it has lapsed, and whoever plans next publishes the answers
before it lists: they are in the tables then, and only what has none is asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from moderation import schema
from moderation.analyse import backend, bulk
from moderation.analyse.record import AnalysisRecord, JobStatus
from moderation.errors import NeedsAPersonError, TransientError
from moderation.plan import claims
from moderation.plan.keeping import Keeper, Lives
from moderation.plan.plan import Plan
from moderation.plan.planner import mark_published
from moderation.plan.stop_note import forget_stop, note_stop
from moderation.plan.store import close
from moderation.publish.commit import PublishedLoad, ReconciliationError, ToleranceExceededError, publish
from moderation.settings import Settings
from moderation.sources import positions
from moderation.sources.decoding import staged
from moderation.storage import s3_objects
from moderation.tables.catalog import load_table, open_catalog
from moderation.tables.history import prove_history
from moderation.tables.ledger.known import stream_known
from moderation.tables.ledger.upkeep import try_bring_up
from moderation.tables.outcomes import count_owed
from moderation.tables.published import scan
from moderation.warehouses import configured

log = logging.getLogger(__name__)


class AnswersUnknownError(NeedsAPersonError):
    """There are answers to a manifest, and nobody can tell which job gave them."""


def publish_answers(
    settings: Settings,
    plan: Plan,
    job_ids: Iterable[str],
    *,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
    tolerated_failure_percentage: float = 100.0,
) -> PublishedLoad | None:
    """Record how the plan's manifests ended and publish their answers; None when nothing was planned.

    For parameters and errors see `stages.publish`.
    """
    if plan.is_empty:
        mark_published(plan, settings=settings)
        _advance(settings, plan)
        log.info("nothing to publish: %s holds nothing new", plan.source)
        return None
    with s3_objects.open_client(settings) as s3:
        prove_history(settings, s3=s3)
        forget_stop(plan, s3=s3)
        records = backend.collect_records(
            plan, job_ids, s3=s3, describe_job=describe_job, list_jobs=list_jobs
        )
        _keep(s3, plan, records)
    return _publish(settings, plan, records, tolerated_failure_percentage)


def publish_of_dead(
    settings: Settings, *, but: str, list_jobs: bulk.ListJobs | None, lives: Lives | None
) -> list[str]:
    """Publish what runs that died have paid for; returns the ids of the loads.

    What cannot be published now keeps its claim, so that nobody pays for it again: told in the log, and tried
    again once the claim has lapsed once more.

    :param but: key of the run that asks.
    :param list_jobs: of bulk jobs; None where nobody can ask: then only single calls are published.
    :param lives: as for `plan.planner.make_plan`.
    """
    loads = []
    with s3_objects.open_client(settings) as s3:
        keeper = Keeper(settings, s3, stream_known, lives)
        for found in list(claims.lapsed_paying(s3, settings)):
            if found.claim.run_key == but:
                continue
            try:
                plan = keeper.take_over(found.uri)
            except Exception as error:  # whatever it is, no other run is to stop for it
                log.warning("%s stays claimed: %s", found.claim.plan_uri, error, exc_info=_is_defect(error))
                continue
            if plan and settle(settings, plan, list_jobs=list_jobs):
                loads.append(plan.load_id)
    return loads


def settle(settings: Settings, plan: Plan, *, list_jobs: bulk.ListJobs | None) -> bool:
    """Publish what was paid for with a plan that is not gone on with; whether it is published now.

    One that nothing was paid for gives its images free; what cannot be told or published now stays claimed.
    """
    try:
        return _settle(settings, plan, list_jobs)
    except Exception as error:
        log.warning(
            "%s: what it has paid for cannot be published now, and its images stay claimed until it is: %s. "
            "`%s release %s` gives them to other runs, which pay for them again",
            plan.uri,
            error,
            settings.command,
            plan.uri,
            exc_info=_is_defect(error),
        )
        return False


def _settle(settings: Settings, plan: Plan, list_jobs: bulk.ListJobs | None) -> bool:
    with s3_objects.open_client(settings) as s3:
        prove_history(settings, s3=s3)
        records = backend.collect_records(
            plan, (), s3=s3, describe_job=_no_id, list_jobs=list_jobs or _nobody_can_tell
        )
        for record in records:
            _prove_without(s3, plan, record)
        if not any(record.results_uri for record in records):
            log.info("%s: nothing of it was paid for; its images are free", plan.uri)
            close(plan, "abandoned", s3=s3)
            _clean_staged(s3, settings, plan)
            claims.drop(s3, settings, plan)
            return False
        _keep(s3, plan, records)
    if load := _publish(settings, plan, records, 100.0):
        log.warning(
            "%s was paid for and not published; load %s has its answers now: %d moderated, %d owed",
            plan.uri,
            load.load_id,
            load.row["moderated"],
            load.row["not_attempted"],
        )
    return True


def _publish(
    settings: Settings, plan: Plan, records: list[AnalysisRecord], tolerated: float
) -> PublishedLoad:
    try:
        load = publish(settings, plan, records, stop_on_mismatch=True, tolerated_failure_percentage=tolerated)
    except (ReconciliationError, ToleranceExceededError) as error:
        with s3_objects.open_client(settings) as s3:
            note_stop(plan, str(error), s3=s3)
        raise
    configured.note_published(settings)
    try_bring_up(settings)
    with s3_objects.open_client(settings) as s3:
        _clean_staged(s3, settings, plan)
    _advance(settings, plan)
    return load


def _advance(settings: Settings, plan: Plan) -> None:
    """Let a source that tells of changes be read on from where this plan has read it, if nothing is left.

    Killed before, it is read once more from where it was: what is published is known, and costs nothing.
    """
    if not plan.reached:
        return
    left = plan.totals.postponed + plan.totals.claimed_elsewhere
    if left := left or _owed(settings, plan):
        log.info("%s is read once more from where it was: %d images of it are left", plan.source, left)
        return
    uri = positions.uri_of(
        settings,
        plan.source,
        model_version=plan.model_version,
        adapter=plan.adapter,
        min_confidence=plan.min_confidence,
    )
    with s3_objects.open_client(settings) as s3:
        positions.advance(s3, uri, positions.Position(**plan.reached))


def _clean_staged(s3: Any, settings: Settings, plan: Plan) -> None:
    if plan.transcoded:
        try:
            staged.clean(s3, settings, plan.run_key)
        except s3_objects.S3Error as error:  # The rows stand; whoever cleans next takes these, too.
            log.warning("images that were transcoded stay staged: %s", error)


def _owed(settings: Settings, plan: Plan) -> int:
    if plan.is_empty:
        return 0
    with open_catalog(settings) as catalog:
        images = load_table(catalog, schema.IMAGES)
        found = scan(
            images,
            schema.IMAGES,
            ["status", "error_code"],
            load_ids={plan.load_id},
            where=f"dt = '{plan.dt}' and load_id = '{plan.load_id}'",
        )
        return sum(count_owed(batch) for batch in found)


def _keep(s3: Any, plan: Plan, records: Iterable[AnalysisRecord]) -> None:
    for record in records:
        s3_objects.put(s3, plan.analysis_record_uri(record.manifest_id), record.to_json())


def _prove_without(s3: Any, plan: Plan, record: AnalysisRecord) -> None:
    """That no answers lie there to a manifest of which no job is known: jobs are listed for a while only."""
    if record.status != JobStatus.NOT_STARTED or record.backend != bulk.BACKEND:
        return
    manifest = next(one for one in plan.manifests if one.manifest_id == record.manifest_id)
    folder = f"s3://{manifest.output_bucket}/{manifest.output_prefix}"
    if next(iter(s3_objects.list_objects(s3, folder)), None):
        raise AnswersUnknownError(
            f"below {folder} are files of a job that Rekognition does not list any more; clear the task "
            "publish of its run, whose tasks know the job"
        )


def _is_defect(error: Exception) -> bool:
    return not isinstance(error, NeedsAPersonError | TransientError)


def _no_id(job_id: str) -> dict[str, Any]:
    raise AssertionError(f"no job is asked for by its id: {job_id}")


def _nobody_can_tell(since: object) -> list[dict[str, Any]]:
    raise AnswersUnknownError("nobody here can ask Rekognition for its jobs; a run of Airflow can")
