"""Weekly: how good the answers are, as a table, a page, and a word to people when precision moved."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import dag, task

from moderation_airflow.retry_policy import moderation_retry_policy

DOC = """
### Review numbers

Each Monday precision, the share of missed images and recall of each label, with intervals, go into the table
`review_numbers`, every warehouse and the page `report/numbers.html`. When the precision of a label left the
interval that it had, `MODERATION_SNS_TOPIC_ARN` and `MODERATION_ALERT_EMAIL` are told, and the gauge
`moderation.review.precision_left` counts the labels. A cleared task doubles nothing.

| task | what it does | if it fails |
|---|---|---|
| tell | computes and publishes; verdicts count once they are published | mend what the log names, clear it |
| load | replaces the table in every warehouse | clear it |
"""


@dag(
    dag_id="review_numbers",
    dag_display_name="Review numbers",
    description="Weekly: how good the answers are",
    doc_md=DOC,
    schedule="0 6 * * 1",
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
def review_numbers() -> None:
    """Wire the two steps."""

    @task(doc_md="Publishes the numbers and their page; returns the page and what moved.")
    def tell(**context: Any) -> dict[str, Any]:
        from moderation_airflow import failure_reason  # noqa: PLC0415 - keeps parsing fast, here and below
        from moderation_airflow.review import numbers  # noqa: PLC0415

        with failure_reason.kept():
            return numbers.tell(context)

    @task(doc_md="Brings the published numbers into every warehouse; returns rows by table.")
    def load() -> dict[str, int]:
        from moderation import stages  # noqa: PLC0415
        from moderation_airflow import failure_reason  # noqa: PLC0415
        from moderation_airflow.connections import connection_uri  # noqa: PLC0415

        with failure_reason.kept():
            return stages.load_verdicts(connection_uri=connection_uri)

    tell() >> load()


review_numbers()
