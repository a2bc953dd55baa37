"""Redshift and Athena beside the pipeline: copy this file into ``dags/`` and put your names in.

`load_into_redshift` follows every publish of images and of verdicts; triggered by hand with **load_id** it
brings one load in (again).
`athena_views` is triggered by hand: once, and after a release that adds columns.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, Param, dag, task, task_group

from moderation_airflow.warehouse_tasks import RedshiftTarget, athena_setup, redshift_load

MODERATED_IMAGES, VERDICTS = Asset("moderated_images"), Asset("verdicts")
REDSHIFT = RedshiftTarget(database="dev", workgroup_name="moderation", iam_role="default")
ATHENA_RESULTS = "s3://my-athena-results/moderation/"
START = datetime(2026, 1, 1, tzinfo=UTC)


@dag(
    schedule=MODERATED_IMAGES | VERDICTS,
    start_date=START,
    catchup=False,
    max_active_runs=1,
    params={"load_id": Param(None, type=["null", "string"], title="Load to bring in by hand")},
    default_args={"retries": 2, "retry_delay": timedelta(minutes=1), "max_active_tis_per_dagrun": 1},
    tags=["moderation"],
)
def load_into_redshift() -> None:
    """Bring what was published into Redshift, one load after the other."""

    @task
    def published(params: dict[str, Any] | None = None, triggering_asset_events: Any = None) -> list[Any]:
        """Publishes that came in quick succession are one run here, so there may be several loads.

        None stands for no load: verdicts alone came in.
        """
        if chosen := (params or {}).get("load_id"):
            return [chosen]
        events = [event for found in (triggering_asset_events or {}).values() for event in found]
        load_ids = sorted({event.extra["load_id"] for event in events if "load_id" in event.extra})
        return load_ids or [None] * bool(events)

    @task_group
    def each(load_id: str | None) -> None:
        redshift_load(load_id, target=REDSHIFT)

    each.expand(load_id=published())


@dag(schedule=None, start_date=START, catchup=False, tags=["moderation"])
def athena_views() -> None:
    """Make the views of the database ``moderation_published``, over the Glue catalog's Iceberg tables."""
    athena_setup(output_location=ATHENA_RESULTS)


load_into_redshift()
athena_views()
