"""The stages of a run, each one call that may be repeated; an orchestrator only passes ids and URIs on.
The last one, which tells how the run ended, is `moderation.report.run_report.report`."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from moderation.adapters import champion
from moderation.adapters.status import AdapterUnusableError
from moderation.analyse import backend, bulk
from moderation.errors import WarehouseMissingError
from moderation.maintenance.standing import forget_what_was
from moderation.plan.keeping import Lives, renew_claim
from moderation.plan.plan import ManifestRef, Plan, PlanError, run_key
from moderation.plan.planner import make_plan
from moderation.plan.price import OverBudgetError, Spending
from moderation.plan.request import PlanRequest, asked_or_default
from moderation.plan.stop_note import forget_stop, note_stop
from moderation.plan.store import check_manifests, dry_run_uri, find_open_plan, load_plan
from moderation.policy.thresholds import in_use
from moderation.publish import gone, paid, verdicts
from moderation.publish.adapters import publish_after
from moderation.publish.commit import PublishedLoad
from moderation.review import mark
from moderation.review.state.open import State
from moderation.settings import Settings
from moderation.sources import failed_of_load
from moderation.sources.base import SourceError
from moderation.storage import s3_objects
from moderation.tables.history import prove_history
from moderation.tables.ledger.known import stream_known
from moderation.tables.ledger.upkeep import try_bring_up
from moderation.tables.published import read_loads
from moderation.tables.standing import VERDICTS
from moderation.warehouses import configured

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """Which run of which workflow asks.

    :param logical_time: the time that the run stands for, with a time zone.
    :param lives: tells of other runs whether they go on, see `plan.planner.make_plan`.
    """

    dag_id: str
    run_id: str
    logical_time: datetime
    lives: Lives | None = None

    def key(self) -> str:
        """The run's name in keys and AWS names."""
        return run_key(self.dag_id, self.run_id)


def discover(
    run: Run,
    *,
    source: str,
    min_confidence: float | None = None,
    adapter: str | None = None,
    job_name: str = "moderation",
    force: bool = False,
    backend: str = "bulk",
    dry_run: bool = False,
    redo_load_id: str | None = None,
    redo_permanent: bool = False,
    inspect: bool = True,
    rekognition: Callable[[], Any] | None = None,
    list_jobs: bulk.ListJobs | None = None,
    settings: Settings | None = None,
) -> str:
    """List the source, leave out what is moderated, cut the rest into manifests; return the plan's URI.

    :param source: see ``sources.open.open_source``; ``{ds}`` and ``{ds_nodash}`` stand for the run's
        UTC date.
    :param min_confidence: percent; None: that of the settings, and what was ever answered is not asked again.
    :param adapter: an ARN, or ``champion`` for the one that was promoted, or none; a champion applies to what
        nobody has answered yet.
    :param backend: ``bulk``, ``detect`` or ``auto``.
    :param dry_run: plan only: nothing is uploaded or claimed, and the plan cannot be gone on with.
    :param redo_load_id: instead of the source, take what this load could not moderate, and ask for it as
        that load did.
    :param redo_permanent: then also pictures that were refused for their own sake.
    :param inspect: read the headers of S3 objects before they are sent.
    :param rekognition: opens a boto3 client, where an adapter is to be looked up; None not to ask.
    :param list_jobs: of bulk jobs: what runs that died have paid for is published first; see `publish.paid`.
    :raises moderation.plan.plan.PlanError: an argument or the source cannot be used.
    :raises moderation.tables.history.HistoryLostError: the tables have lost what was published.
    """
    settings = settings or Settings.from_env()
    in_use()  # a file that cannot be used stops the run before it has paid for anything
    with s3_objects.open_client(settings) as client:
        prove_history(settings, s3=client, remember=not dry_run)
    if not dry_run:
        paid.publish_of_dead(settings, but=run.key(), list_jobs=list_jobs, lives=run.lives)
        try_bring_up(settings)
    if redo_load_id:
        try:
            min_confidence, adapter = failed_of_load.question_of(settings, redo_load_id)
        except SourceError as error:
            raise PlanError(str(error)) from error
        source = failed_of_load.FailedOfLoad(redo_load_id, permanent=redo_permanent).uri
    with s3_objects.open_client(settings) as client:
        begun = find_open_plan(settings, run.key(), s3=client)
    chosen = champion.resolve(settings, adapter, now=run.logical_time, begun=begun, rekognition=rekognition)
    day = run.logical_time.astimezone(UTC).date()
    request = PlanRequest(
        run_key=run.key(),
        dag_id=run.dag_id,
        run_id=run.run_id,
        source=source.replace("{ds}", f"{day}").replace("{ds_nodash}", f"{day:%Y%m%d}"),
        logical_time=run.logical_time,
        **asked_or_default(min_confidence, settings),
        **asdict(chosen),
        job_name=job_name,
        force=force,
        backend=backend,
        inspect=inspect,
    )
    plan = make_plan(
        settings,
        request,
        published=stream_known,
        dry_run=dry_run,
        mark=gone.mark,
        lives=run.lives,
        settle=lambda plan: paid.settle(settings, plan, list_jobs=list_jobs),
    )
    if dry_run:
        plan = replace(plan, uri=dry_run_uri(settings, run.key()))
        with s3_objects.open_client(settings) as client:
            s3_objects.put(client, plan.uri, plan.to_json())
    totals = plan.totals
    log.info(
        "%s lists %d: %d to analyse, %d copies of these or of others, %d cannot be sent, %s, %d no images, "
        "%d in another open run, %d left to the next run",
        plan.source,
        totals.listed,
        totals.to_analyse,
        totals.copies,
        totals.rejected,
        ", ".join(f"{before.name}: {before.text}" for before in totals.done_before),
        totals.ignored,
        totals.claimed_elsewhere,
        totals.postponed,
    )
    return plan.uri


def job_arguments(
    plan_uri: str, *, rekognition: Any = None, settings: Settings | None = None
) -> list[dict[str, Any]]:
    """Choose the backend, check the adapter, and return the arguments of one bulk job a manifest.

    :param rekognition: a boto3 client: asked about adapters and by the backend ``auto``; it starts nothing.
    :returns: nothing when the plan goes to DetectModerationLabels; see :func:`detect_arguments`.
    :raises AdapterUnusableError: the adapter is missing or expired.
    :raises moderation.plan.manifests.ManifestError: a manifest is not the one that was planned.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        plan = load_plan(plan_uri, s3=client)
        if not plan.manifests:
            return []
        if plan.adapter and rekognition is not None:
            try:
                champion.check(settings, rekognition, plan.adapter)
            except AdapterUnusableError as error:
                note_stop(plan, str(error), s3=client)
                raise
        if plan.inputs_uri:  # a dry run wrote none
            check_manifests(plan, s3=client)
        choice = backend.choose(plan, settings=settings, s3=client, rekognition=rekognition)
    log.info("%s", _spending(plan, choice.backend, None).text())
    return [_arguments(plan, manifest) for manifest in plan.manifests if not choice.uses_detect(manifest)]


def spending(plan_uri: str, *, max_cost_usd: float | None, settings: Settings | None = None) -> Spending:
    """Tell what the plan costs and whether the run may spend that; for a decision before the first paid call.

    :param max_cost_usd: None for no limit.
    :raises moderation.plan.plan.PlanError: the limit is no number of US dollars.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        plan = load_plan(plan_uri, s3=client)
        forget_stop(plan, s3=client)
        choice = backend.read_choice(plan, s3=client)
        try:
            return _spending(plan, choice.backend if choice else plan.backend, max_cost_usd)
        except PlanError as error:
            note_stop(plan, str(error), s3=client)
            raise


def refuse(plan_uri: str, reason: str, *, settings: Settings | None = None) -> None:
    """Note why a plan is not paid for.

    :raises OverBudgetError: always, with the reason.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        note_stop(load_plan(plan_uri, s3=client), reason, s3=client)
    raise OverBudgetError(reason)


def approve(plan_uri: str, *, settings: Settings | None = None, lives: Lives | None = None) -> None:
    """Keep the plan's pictures from other runs anew: an approval may have taken its time.

    :raises PlanError: it took so long that others have taken some of the pictures.
    """
    settings = settings or Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    if not plan.is_empty:
        renew_claim(plan, settings=settings, published=stream_known, lives=lives)


def detect_arguments(
    plan_uri: str,
    job_ids: Iterable[str | None],
    *,
    rekognition: Any,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
    settings: Settings | None = None,
) -> list[dict[str, Any]]:
    """Return the arguments of one task a manifest that goes to DetectModerationLabels.

    These are all with that backend, and with ``auto`` those whose bulk job was refused because the account
    may start none.

    :param job_ids: what the bulk tasks returned.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        plan = load_plan(plan_uri, s3=client)
        left = backend.fall_back(
            plan,
            [job_id for job_id in job_ids if job_id],
            settings=settings,
            s3=client,
            rekognition=rekognition,
            describe_job=describe_job,
            list_jobs=list_jobs,
        )
    return [_arguments(plan, manifest) for manifest in left]


def _arguments(plan: Plan, manifest: ManifestRef) -> dict[str, Any]:
    """What both operators are mapped over."""
    return {
        "input_uri": manifest.uri,
        "output_uri": f"s3://{manifest.output_bucket}/{manifest.output_prefix}",
        "job_name": manifest.job_name,
        "min_confidence": plan.min_confidence,
        "project_version_arn": plan.adapter,
        "force_new_job": plan.force,
    }


def _spending(plan: Plan, backend: str, limit: float | None) -> Spending:
    return Spending(
        plan=plan,
        backend=backend,
        cost_usd=plan.expected_cost_usd,
        limit_usd=limit,
    )


def publish(
    plan_uri: str,
    job_ids: Iterable[str | None],
    *,
    describe_job: bulk.DescribeJob,
    list_jobs: bulk.ListJobs,
    tolerated_failure_percentage: float = 100.0,
    settings: Settings | None = None,
) -> PublishedLoad | None:
    """Record how the plan's manifests ended and publish their answers; None when nothing was planned.

    :param job_ids: what the tasks of bulk jobs returned, in any order.
    :param tolerated_failure_percentage: publish nothing when more of the images than that are still owed.
    :raises moderation.analyse.bulk.JobNotEndedError: a job still runs.
    :raises moderation.publish.commit.ReconciliationError: answers are not those to what was asked.
    :raises moderation.publish.commit.PublishError: nothing of the load is visible; publish again.
    """
    settings = settings or Settings.from_env()
    return paid.publish_answers(
        settings,
        load_plan(plan_uri, settings=settings),
        [job_id for job_id in job_ids if job_id],
        describe_job=describe_job,
        list_jobs=list_jobs,
        tolerated_failure_percentage=tolerated_failure_percentage,
    )


def event_of(load: PublishedLoad) -> dict[str, Any]:
    """Return what an asset event says of a load: its id, day and counts."""
    counts = ("images", "moderated", "failed", "not_attempted", "manifests", "billed", "cost_usd")
    names = ("load_id", *counts, "labels_l1", "labels_l2", "labels_l3")
    return {"dt": load.row["dt"].isoformat(), **{name: load.row[name] for name in names}}


def load(
    load_id: str | None = None,
    *,
    again: bool = False,
    new_columns: bool = False,
    settings: Settings | None = None,
    connection_uri: configured.ConnectionUri | None = None,
) -> list[str]:
    """Bring every published load that a warehouse lacks into it; return the ids of those brought in anywhere.

    What people decided is brought in with them, as it is published now.

    :param load_id: one that was just published: it is brought in whether a warehouse has it or not.
    :param again: bring in every published load, also those that are there.
    :param new_columns: see `warehouses.base.Warehouse.refresh`.
    :param connection_uri: gives the URI of a connection that the settings only name.
    :raises WarehouseError: there is no such load, or a warehouse failed; the later ones were not tried, and
        loading again is safe for all.
    """
    settings = settings or Settings.from_env()
    published = read_loads(settings).to_pylist()
    if load_id is not None and load_id not in {row["load_id"] for row in published}:
        raise WarehouseMissingError(
            f"load {load_id!r} is not published; run the publish task of its run first"
        )
    brought: set[str] = set()
    for warehouse in configured.configured(settings, connection_uri=connection_uri):
        lacking = set(warehouse.lacks(published))
        if again:
            lacking = {row["load_id"] for row in published}
        wanted = lacking | ({load_id} if load_id else set())
        for row in published:
            if row["load_id"] in wanted:
                counts = warehouse.load(row["load_id"])
                log.info("%s: %s: %s", type(warehouse).__name__, row["load_id"], counts)
        if new_columns or not wanted:
            warehouse.refresh(new_columns=new_columns)
        log.info("%s: %s", type(warehouse).__name__, warehouse.load_standing())
        brought |= wanted
    return sorted(brought)


def publish_verdicts(
    state: State, *, settings: Settings | None = None, anew: bool = False
) -> verdicts.PublishedVerdicts:
    """Show readers what people decided and, of what was erased, take away what was shown before.

    :param anew: from the state alone: the table's files are damaged.
    :raises moderation.review.state.faults.StateLostError: the state has fewer verdicts than it had.
    :raises StandingError, lease.LeaseBusy: the table is damaged; another publish is under way.
    """
    settings = settings or Settings.from_env()
    with s3_objects.open_client(settings) as client:
        mark.check(client, settings, state)
        done = (verdicts.publish_anew if anew else verdicts.publish_verdicts)(settings, state.log)
        if done.rewritten:
            forget_what_was(settings, VERDICTS)
        mark.note(client, settings, state)
    publish_after(settings)
    return done


def load_verdicts(
    *, settings: Settings | None = None, connection_uri: configured.ConnectionUri | None = None
) -> dict[str, int]:
    """Bring what people decided into every warehouse, as it is published now; returns rows by table.

    :raises WarehouseError: a warehouse failed; the later ones were not tried, and loading again is safe.
    """
    rows: dict[str, int] = {}
    for warehouse in configured.configured(settings or Settings.from_env(), connection_uri=connection_uri):
        rows = warehouse.load_standing()
    return rows
