"""After each publish: standing queues get what the policy sends to a person, and a share of the unflagged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, task

from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy

MODERATED_IMAGES = Asset("moderated_images")

several_hosts.refuse_own_disks()

DOC = """
### Fill the review queues

Each publish adds to the standing queues: what the policy (`MODERATION_POLICY`) sends to a person, and
`MODERATION_REVIEW_UNFLAGGED_PERCENT` of the images on which nothing was found, drawn by chance, so that the
share of missed images can be told. Clearing the task adds nothing twice.
"""


@dag(
    dag_id="fill_review_queues",
    dag_display_name="Fill review queues",
    description="After each publish: what people are to look at",
    doc_md=DOC,
    schedule=[MODERATED_IMAGES],
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=1),
        "retry_policy": moderation_retry_policy(),
    },
    tags=["moderation", "review"],
)
def fill_review_queues() -> None:
    """Wire the one step; what it does is in ``moderation.review.fill``."""

    @task(doc_md="Adds the images of the loads that were published; returns how many, by queue.")
    def fill(triggering_asset_events: Any = None) -> dict[str, int]:
        from moderation_airflow import failure_reason  # noqa: PLC0415 - keeps parsing fast, here and below
        from moderation_airflow.review.queues import fill_from  # noqa: PLC0415

        events = [event for found in (triggering_asset_events or {}).values() for event in found]
        with failure_reason.kept():
            return fill_from(sorted({event.extra["load_id"] for event in events}))

    fill()


fill_review_queues()
