"""The nightly run: what is new in a source is moderated, published as tables and loaded."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from moderation.settings import DagSettings
from moderation_airflow import alerts, failure_reason
from moderation_airflow.approval import SpendApprovalOperator
from moderation_airflow.archives.runs import ARCHIVES_LAST
from moderation_airflow.before_paying import look_before_calls, look_before_job
from moderation_airflow.machines import several_hosts
from moderation_airflow.report import ModerationReportOperator
from moderation_airflow.retry_policy import moderation_retry_policy
from rekognition.detect import RekognitionDetectModerationLabelsOperator
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.retry_policy import rekognition_retry_policy

MODERATED_IMAGES = Asset("moderated_images")
SETTINGS = DagSettings.from_env()
NIGHTLY = "0 2 * * *"
# They share one budget of calls a second, which a few keep busy.
CALLING_TASKS = 4

several_hosts.refuse_own_disks()

DOC = """
### Moderate the images of a source

Lists a source, leaves out what was moderated before, has Amazon Rekognition analyse the rest, in bulk jobs or
with single calls, and publishes the answers as tables. Each image asked for becomes a row: moderated, failed
or not attempted.

| task | what it does | if it fails |
|---|---|---|
| discover | publishes what dead runs paid for; cuts what is new into manifests | mend what the log names |
| plan | prices the run, checks the adapter, chooses the backend | clear it |
| approve | stops a run that costs more than **max_cost_usd**, or asks a person | raise the limit |
| analyse | one media analysis job a manifest | clear it: it finds its job again and never pays twice |
| single_calls | names the manifests that bulk jobs do not take | clear it |
| detect | DetectModerationLabels for each image of such a manifest | clear it: it goes on where it was |
| publish | flattens the answers, reconciles them with the inputs, commits the load | see its log |
| load | brings every published load that a warehouse lacks into it | clear it |
| report | says what was found; fails when an image is still owed | `moderation redo LOAD_ID`, or run again |

Clearing any task, running twice and two runs at once never duplicate a row. A manifest that fails does not
stop the others; **tolerated_failure_percentage** decides whether the rest is published.

Trigger it with another **source** (`s3://bucket/prefix`, an S3 Inventory `manifest.json`, or a folder of
the worker), another **min_confidence** or an **adapter**. `{ds}` in the source stands for the run's date.
It runs nightly once the environment variable `MODERATION_SOURCE` names a source.
"""

PARAMS = {
    "source": Param(
        SETTINGS.source,
        type="string",
        title="Source",
        description="s3://bucket/prefix, the manifest.json of an S3 Inventory, list: and a file, or a "
        "folder; a filter may follow, as in s3://bucket/prefix | *.jpg, age<7d. {ds}: the date.",
    ),
    "min_confidence": Param(
        None,
        type=["null", "number"],
        minimum=0,
        maximum=100,
        title="MinConfidence",
        description="Labels below this confidence (percent) are not returned; empty: as the settings say.",
    ),
    "adapter": Param(
        None,
        type=["null", "string"],
        title="Adapter",
        description="ARN of a Custom Moderation adapter version, or champion for the one that was promoted; "
        "empty for the base model.",
    ),
    "backend": Param(
        SETTINGS.backend,
        type="string",
        enum=["auto", "bulk", "detect"],
        title="Backend",
        description="Bulk jobs, or one DetectModerationLabels call an image; auto: bulk if the account may.",
    ),
    "job_name": Param(
        "moderation",
        type="string",
        pattern=r"^[a-zA-Z0-9_.\-]{1,24}$",
        title="Job name",
        description="What the names of the jobs begin with.",
    ),
    "force": Param(
        False,
        type="boolean",
        title="Force",
        description="Analyse, and pay for, images again that are moderated already.",
    ),
    "dry_run": Param(
        False,
        type="boolean",
        title="Dry run",
        description="Stop after the plan and report what the run would cost.",
    ),
    "max_cost_usd": Param(
        None,
        type=["null", "number"],
        minimum=0,
        title="Price limit",
        description="US dollars that the run may cost at most; empty for no limit.",
    ),
    "on_over_budget": Param(
        "fail",
        type="string",
        enum=["fail", "ask"],
        title="Above the price limit",
        description="Fail before the first paid call, or ask a person to approve.",
    ),
    "tolerated_failure_percentage": Param(
        100.0,
        type="number",
        minimum=0,
        maximum=100,
        title="Tolerated failures",
        description="Percent of the images. Publish nothing when more have no answer yet; end failed when "
        "more could not be read.",
    ),
    "redo_load_id": Param(
        None,
        type=["null", "string"],
        title="Redo",
        description="Instead of the source: what this load could not moderate.",
    ),
    "redo_permanent": Param(
        False,
        type="boolean",
        title="Redo refused images too",
        description="With Redo: also images that were refused for their own sake (format, size).",
    ),
    "inspect": Param(
        True,
        type="boolean",
        title="Read headers",
        description="Read the first bytes of each object before it is sent: one GET each. Without it names "
        "and sizes decide, and what is no image is refused by Rekognition.",
    ),
}
DISCOVERY = (
    "source", "min_confidence", "adapter", "backend", "job_name", "force", "dry_run", "redo_load_id",
    "redo_permanent", "inspect",
)  # fmt: skip


@dag(
    dag_id="moderate_images",
    dag_display_name="Moderate images",
    description="Nightly moderation of what is new in a source",
    doc_md=DOC,
    schedule=NIGHTLY if SETTINGS.source else None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=16,
    params=PARAMS,
    deadline=alerts.deadline(hours=SETTINGS.deadline_hours) if SETTINGS.source else None,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": moderation_retry_policy(),
        # A slot that falls free goes to the night's images before those of an archive.
        "weight_rule": ARCHIVES_LAST,
    },
    tags=["moderation", "rekognition"],
)
def moderate_images() -> None:
    """Wire the stages; what they do is in ``moderation``, ``moderation_airflow`` and ``rekognition``."""

    @task(doc_md="Lists the source and cuts what is new into manifests; returns the plan's URI.")
    def discover(params: dict[str, Any] | None = None, dag_run: Any = None, ti: Any = None) -> str:
        from moderation import stages  # noqa: PLC0415 - keeps parsing fast
        from moderation_airflow.archives.runs import KnownRuns  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        at = dag_run.logical_date or dag_run.run_after
        run = stages.Run(dag_run.dag_id, dag_run.run_id, at, lives=KnownRuns(ti).lives)
        asked = {name: (params or {})[name] for name in DISCOVERY}
        with failure_reason.kept():
            return stages.discover(
                run,
                **asked,
                rekognition=lambda: RekognitionHook().conn,
                list_jobs=lambda since: RekognitionHook().list_jobs(since),
            )

    @task(doc_md="Prices the run, checks the adapter, chooses the backend; returns the bulk jobs' arguments.")
    def plan(plan_uri: str) -> list[dict[str, Any]]:
        from moderation import stages  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        with failure_reason.kept():
            return stages.job_arguments(plan_uri, rekognition=RekognitionHook().conn)

    @task(
        trigger_rule="all_done",
        doc_md="Returns the arguments of a task for each manifest that bulk jobs do not take.",
    )
    def single_calls(approved: str | None, job_ids: Any) -> list[dict[str, Any]]:
        from moderation import stages  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        if approved is None:
            raise AirflowSkipException("the run stopped before its first paid call")
        hook = RekognitionHook()
        return stages.detect_arguments(
            approved,
            job_ids or (),
            rekognition=hook.conn,
            describe_job=hook.describe_job,
            list_jobs=hook.list_jobs,
        )

    @task(
        trigger_rule="all_done",
        outlets=[MODERATED_IMAGES],
        doc_md="Flattens the answers, reconciles and publishes them as one load; returns the load's id.",
    )
    def publish(
        approved: str | None,
        job_ids: Any,
        calls: Any,
        params: dict[str, Any] | None = None,
        outlet_events: Any = None,
    ) -> str:
        from moderation import stages  # noqa: PLC0415
        from moderation_airflow import metrics  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        if approved is None:
            raise AirflowSkipException("the run stopped before its first paid call")
        hook = RekognitionHook()
        with failure_reason.kept():
            load = stages.publish(
                approved,
                job_ids or (),
                describe_job=hook.describe_job,
                list_jobs=hook.list_jobs,
                tolerated_failure_percentage=(params or {})["tolerated_failure_percentage"],
            )
        if load is None:
            raise AirflowSkipException("nothing new")
        outlet_events[MODERATED_IMAGES].extra = stages.event_of(load)
        if not load.repeated:
            outcomes = [outcome for outcome in calls or () if outcome]
            metrics.emit(load.row, calls=outcomes)
        return load.load_id

    # Also after a run with nothing new: a warehouse may lack what an earlier run could not bring in.
    @task(
        trigger_rule="none_failed",
        doc_md="Loads what a warehouse lacks of all that is published; returns the ids of these loads.",
    )
    def load(load_id: str | None, params: dict[str, Any] | None = None) -> list[str]:
        from moderation import stages  # noqa: PLC0415
        from moderation_airflow.connections import connection_uri  # noqa: PLC0415

        if (params or {}).get("dry_run"):
            raise AirflowSkipException("a dry run changes nothing")
        with failure_reason.kept():
            return stages.load(load_id, connection_uri=connection_uri)

    plan_uri = discover()
    jobs = plan(plan_uri)
    approve = SpendApprovalOperator(
        task_id="approve",
        plan_uri=plan_uri,
        response_timeout=timedelta(hours=SETTINGS.approval_hours),
        doc_md="Stops a run that costs more than it may, or asks a person.",
    )
    analyse = RekognitionStartMediaAnalysisJobOperator.partial(
        task_id="analyse",
        poll_interval=timedelta(seconds=SETTINGS.poll_seconds),
        # One slot a bulk job of the account, for all Dags: the quota is the account's, not a run's.
        pool=SETTINGS.job_pool,
        pre_execute=look_before_job,
        retry_policy=moderation_retry_policy(also=rekognition_retry_policy()),
        doc_md="One media analysis job a manifest; found again, not paid again, by a retry or a clear.",
    ).expand_kwargs(jobs)
    detect = RekognitionDetectModerationLabelsOperator.partial(
        task_id="detect",
        max_active_tis_per_dag=CALLING_TASKS,
        pre_execute=look_before_calls,
        retry_policy=moderation_retry_policy(also=rekognition_retry_policy()),
        doc_md="Each image of a manifest by a call of its own; goes on where it was.",
    ).expand_kwargs(single_calls(approve.output, analyse.output))
    jobs >> approve >> analyse
    published = publish(approve.output, analyse.output, detect.output)
    ModerationReportOperator(
        task_id="report",
        plan_uri=plan_uri,
        approved=approve.output,
        published=published,
        loaded=load(published),
        trigger_rule="all_done",
        on_failure_callback=alerts.failure_notifiers(SETTINGS),
        doc_md="Says what was found, what it cost and what is owed; fails when the run did not end well.",
    )


moderate_images()
