"""The nightly run: what is new in a source is moderated, published as tables and loaded."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task

from rekognition.operators import RekognitionStartMediaAnalysisJobOperator
from rekognition.retry_policy import rekognition_retry_policy

MODERATED_IMAGES = Asset("moderated_images")
SOURCE = os.environ.get("MODERATION_SOURCE", "").strip()
NIGHTLY = "0 2 * * *"
POLL_INTERVAL = timedelta(seconds=float(os.environ.get("MODERATION_POLL_SECONDS", "30")))

DOC = """
### Moderate the images of a source

Lists a source, leaves out what was moderated before, has Amazon Rekognition analyse the rest in bulk
jobs, and publishes the answers as tables. Each image asked for becomes a row: moderated, failed or not
attempted.

| task | what it does | if it fails |
|---|---|---|
| discover | lists the source, checks the images, cuts what is new into manifests | mend what the log names |
| plan | prices the run and hands one job a manifest to *analyse* | clear it |
| analyse | one media analysis job a manifest | clear it: it finds its job again and never pays twice |
| publish | flattens the answers, reconciles them with the inputs, commits the load | clear it |
| load | brings the load into the warehouse | clear it |
| report | says what was found; fails when an image is still owed | run the source again |

Clearing any task, running twice and two runs at once never duplicate a row.

Trigger it with another **source** (`s3://bucket/prefix`, an S3 Inventory `manifest.json`, or a folder of
the worker), another **min_confidence** or an **adapter**. `{ds}` in the source stands for the run's date.
It runs nightly once the environment variable `MODERATION_SOURCE` names a source.
"""

PARAMS = {
    "source": Param(
        SOURCE,
        type="string",
        title="Source",
        description="s3://bucket/prefix, the manifest.json of an S3 Inventory, or a folder; {ds}: the date.",
    ),
    "min_confidence": Param(
        50.0,
        type="number",
        minimum=0,
        maximum=100,
        title="MinConfidence",
        description="Labels below this confidence (percent) are not returned.",
    ),
    "adapter": Param(
        None,
        type=["null", "string"],
        title="Adapter",
        description="ARN of a Custom Moderation adapter version; empty for the base model.",
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
}


@dag(
    dag_id="moderate_images",
    dag_display_name="Moderate images",
    description="Nightly bulk moderation of what is new in a source",
    doc_md=DOC,
    schedule=NIGHTLY if SOURCE else None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=4,
    params=PARAMS,
    default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    tags=["moderation", "rekognition"],
)
def moderate_images() -> None:
    """Wire the stages; what they do is in ``moderation`` and ``rekognition``."""

    @task(doc_md="Lists the source and cuts what is new into manifests; returns the plan's URI.")
    def discover(params: dict[str, Any] | None = None, dag_run: Any = None) -> str:
        from moderation import stages  # noqa: PLC0415 - keeps parsing fast

        run = stages.Run(dag_run.dag_id, dag_run.run_id, dag_run.logical_date or dag_run.run_after)
        return stages.discover(run, **(params or {}))

    @task(doc_md="Prices the run; returns the arguments of one job a manifest.")
    def plan(plan_uri: str) -> list[dict[str, Any]]:
        from moderation import stages  # noqa: PLC0415

        return stages.job_arguments(plan_uri)

    @task(
        trigger_rule="all_done",
        outlets=[MODERATED_IMAGES],
        doc_md="Flattens the answers and publishes them as one load; returns the load's id.",
    )
    def publish(plan_uri: str, job_ids: Any, outlet_events: Any = None) -> str | None:
        from moderation import stages  # noqa: PLC0415
        from rekognition.hooks import RekognitionHook  # noqa: PLC0415

        hook = RekognitionHook()
        load = stages.publish(
            plan_uri,
            [job_id for job_id in job_ids or () if job_id],
            describe_job=hook.describe_job,
            list_jobs=hook.list_jobs,
        )
        if load is None:
            return None
        outlet_events[MODERATED_IMAGES].extra = stages.event_of(load)
        return load.load_id

    @task(doc_md="Loads what was published into the warehouse; returns the load's id.")
    def load(load_id: str | None) -> str | None:
        from moderation import stages  # noqa: PLC0415

        return stages.load(load_id)

    @task(doc_md="Says what was found; fails when an image of the run is still owed.")
    def report(plan_uri: str, load_id: str | None) -> str:
        from moderation import stages  # noqa: PLC0415

        return stages.report(plan_uri, load_id)

    plan_uri = discover()
    analyse = RekognitionStartMediaAnalysisJobOperator.partial(
        task_id="analyse",
        poll_interval=POLL_INTERVAL,
        retry_policy=rekognition_retry_policy(),
        doc_md="One media analysis job a manifest; found again, not paid again, by a retry or a clear.",
    ).expand_kwargs(plan(plan_uri))
    published = publish(plan_uri, analyse.output)
    report(plan_uri, load(published))


moderate_images()
