"""The stages of a run, each one call that may be repeated; an orchestrator only passes ids and URIs on."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from moderation import bulk, s3, warehouses
from moderation.plan import Plan, PlanRequest, load_plan, make_plan, mark_published, run_key
from moderation.publish import PublishedLoad, published_images
from moderation.publish import publish as publish_load
from moderation.reading import WarehouseError
from moderation.report import build_report
from moderation.report_page import write_report
from moderation.report_text import to_text
from moderation.settings import Settings

log = logging.getLogger(__name__)


class ImagesOwedError(RuntimeError):
    """A run has ended and some of its images are still neither moderated nor failed for good."""


@dataclass(frozen=True)
class Run:
    """Which run of which workflow asks.

    :param logical_time: the time that the run stands for, with a time zone.
    """

    dag_id: str
    run_id: str
    logical_time: datetime

    def key(self) -> str:
        """The run's name in keys and AWS names."""
        return run_key(self.dag_id, self.run_id)


def discover(
    run: Run,
    *,
    source: str,
    min_confidence: float = 50.0,
    adapter: str | None = None,
    job_name: str = "moderation",
    force: bool = False,
    settings: Settings | None = None,
) -> str:
    """List the source, leave out what is moderated, cut the rest into manifests; return the plan's URI.

    :param source: see ``moderation.sources.open_source``; ``{ds}`` and ``{ds_nodash}`` stand for the run's
        UTC date.
    :raises moderation.plan.PlanError: an argument or the source cannot be used.
    """
    settings = settings or Settings.from_env()
    day = run.logical_time.astimezone(UTC).date()
    request = PlanRequest(
        run_key=run.key(),
        source=source.replace("{ds}", f"{day}").replace("{ds_nodash}", f"{day:%Y%m%d}"),
        logical_time=run.logical_time,
        min_confidence=min_confidence,
        adapter=adapter or None,
        job_name=job_name,
        force=force,
    )
    plan = make_plan(settings, request, published=published_images)
    totals = plan.totals
    log.info(
        "%s lists %d: %d to analyse, %d cannot be sent, %d moderated already, %d no images, "
        "%d in another open run, %d left to the next run",
        plan.source,
        totals.listed,
        totals.to_analyse,
        totals.rejected,
        totals.already_moderated,
        totals.ignored,
        totals.claimed_elsewhere,
        totals.postponed,
    )
    return plan.uri


def job_arguments(plan_uri: str, *, settings: Settings | None = None) -> list[dict[str, Any]]:
    """Return, for each manifest of the plan, the arguments of the operator that starts its job."""
    plan = load_plan(plan_uri, settings=settings)
    log.info(
        "%d images in %d jobs; expected price %.4f USD",
        plan.totals.to_analyse,
        len(plan.manifests),
        plan.expected_cost_usd,
    )
    return [
        {
            "input_uri": manifest.uri,
            "output_uri": f"s3://{manifest.output_bucket}/{manifest.output_prefix}",
            "job_name": manifest.job_name,
            "min_confidence": plan.min_confidence,
            "project_version_arn": plan.adapter,
            "force_new_job": plan.force,
        }
        for manifest in plan.manifests
    ]


def publish(
    plan_uri: str,
    job_ids: Iterable[str],
    *,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
    settings: Settings | None = None,
) -> PublishedLoad | None:
    """Record how the plan's jobs ended and publish their answers; None when there is nothing to publish.

    :param job_ids: what the analyse tasks returned, in any order.
    :raises moderation.bulk.JobNotEndedError: a job still runs.
    :raises moderation.publish.PublishError: nothing of the load is visible; publish again.
    """
    settings = settings or Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    if plan.is_empty:
        mark_published(plan, settings=settings)
        log.info("nothing to publish: %s holds nothing new", plan.source)
        return None
    records = bulk.collect_records(plan, job_ids, describe_job=describe_job, list_jobs=list_jobs)
    with s3.open_client(settings) as client:
        for record in records:
            s3.put(client, plan.analysis_record_uri(record.manifest_id), record.to_json())
    return publish_load(settings, plan, records)


def event_of(load: PublishedLoad) -> dict[str, Any]:
    """Return what an asset event says of a load: its id, day and counts."""
    names = (
        "load_id",
        "images",
        "moderated",
        "failed",
        "not_attempted",
        "labels_l1",
        "labels_l2",
        "labels_l3",
    )
    return {"dt": load.row["dt"].isoformat(), **{name: load.row[name] for name in names}}


def load(
    load_id: str | None,
    *,
    settings: Settings | None = None,
    connection_uri: warehouses.ConnectionUri | None = None,
) -> str | None:
    """Bring a published load into every configured warehouse; return its id.

    :param connection_uri: gives the URI of a connection that the settings only name.
    :raises moderation.reading.WarehouseError: one of them failed; the later ones were not tried, and loading
        again is safe for all.
    """
    if load_id is None:
        return None
    settings = settings or Settings.from_env()
    for warehouse in warehouses.configured(settings, connection_uri=connection_uri):
        log.info("%s: %s", type(warehouse).__name__, warehouse.load(load_id))
    return load_id


def report(plan_uri: str, load_id: str | None, *, settings: Settings | None = None) -> str:
    """Write the run's report beside its plan and log it; return its URI.

    :raises ImagesOwedError: an image is still owed; the report is written all the same.
    """
    settings = settings or Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    page = _write_page(settings, load_id) if load_id else None
    found = build_report(settings, load_id, page=page) if load_id else None
    text = to_text(found, query_command=f"{settings.command} query") if found else _nothing_new(plan)
    uri = plan.report_uri
    with s3.open_client(settings) as client:
        s3.put(client, uri, text.encode())
    log.info("%s\n%s", uri, text)
    if found and not found.is_complete:
        raise ImagesOwedError(
            f"{found.load['not_attempted']} images of load {load_id} are still owed; see {uri}, "
            "mend the cause, then run the source again: only what is owed is sent"
        )
    return uri


def _write_page(settings: Settings, load_id: str) -> str | None:
    """Write the report page where one is wanted; a run is not failed by its picture."""
    if settings.report_dir is None:
        return None
    try:
        return str(write_report(settings.warehouse_path, settings.report_dir, load_id=load_id).load)
    except (WarehouseError, OSError) as error:
        log.warning("the report page was not written: %s", error)
        return None


def _nothing_new(plan: Plan) -> str:
    """What a run says that had nothing to do."""
    totals = plan.totals
    reasons = {
        "already moderated": totals.already_moderated,
        "being moderated by another run": totals.claimed_elsewhere,
        "no images by their name": totals.ignored,
    }
    listed = ", ".join(f"{count:,} {reason}" for reason, count in reasons.items() if count)
    found = f"{totals.listed:,} found: {listed}." if totals.listed else "It holds no images."
    return f"Nothing new in {plan.source}\n{found}\nNo job was started, nothing was paid.\n"
