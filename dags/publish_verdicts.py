"""Hourly: what people decided is shown to readers and warehouses; nothing is done when nothing is new."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, dag, task
from airflow.sdk.exceptions import AirflowSkipException

from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy

VERDICTS = Asset("verdicts")

several_hosts.refuse_own_disks()

DOC = """
### Publish verdicts

Until it is published, the log (`MODERATION_REVIEW_DB`) is the only copy of what people decided. Each hour
what is new goes into the table `verdicts` and from there into every warehouse; what was erased is taken out
of both. An event of the asset `verdicts` tells how many there are. Clearing any task, running twice and two
runs at once never duplicate a row.

| task | what it does | if it fails |
|---|---|---|
| publish | commits what the table lacks; skipped when that is nothing | mend what the log names |
| load | replaces the table in every warehouse | clear it |
"""


@dag(
    dag_id="publish_verdicts",
    dag_display_name="Publish verdicts",
    description="Hourly: what people decided becomes a table",
    doc_md=DOC,
    schedule="@hourly",
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
def publish_verdicts() -> None:
    """Wire the two steps; what they do is in ``moderation.stages``."""

    @task(
        outlets=[VERDICTS], doc_md="Publishes what is new; returns how many verdicts, and from when to when."
    )
    def publish(outlet_events: Any = None) -> dict[str, Any]:
        from dataclasses import asdict  # noqa: PLC0415 - keeps parsing fast, here and below

        from moderation import stages  # noqa: PLC0415
        from moderation.adapters.after import reminder  # noqa: PLC0415
        from moderation.review.health import health  # noqa: PLC0415
        from moderation.review.state.open import open_state  # noqa: PLC0415
        from moderation.settings import Settings  # noqa: PLC0415
        from moderation_airflow import failure_reason, metrics  # noqa: PLC0415

        with failure_reason.kept(), metrics.review_errors_counted():
            state = open_state()
            try:
                try:
                    done = stages.publish_verdicts(state)
                finally:
                    metrics.emit_review(health(state))
                metrics.emit_verdicts(done.rows)
                if done.rows and (new := reminder.remind_if_known(Settings.from_env(), state.log)):
                    metrics.emit_new_verdicts(new.contents)
            finally:
                state.close()
        if not done.rows and not done.rewritten:
            raise AirflowSkipException("nothing new")
        outlet_events[VERDICTS].extra = asdict(done)
        return asdict(done)

    @task(doc_md="Brings the published verdicts into every warehouse; returns rows by table.")
    def load() -> dict[str, int]:
        from moderation import stages  # noqa: PLC0415
        from moderation_airflow import failure_reason  # noqa: PLC0415
        from moderation_airflow.connections import connection_uri  # noqa: PLC0415

        with failure_reason.kept():
            return stages.load_verdicts(connection_uri=connection_uri)

    publish() >> load()


publish_verdicts()
