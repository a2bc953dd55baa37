"""Weekly housekeeping of the tables: small files merged, old snapshots and unneeded files removed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy

several_hosts.refuse_own_disks()

DOC = """
### Compact the tables

Merges the small files of several loads, forgets snapshots that were replaced longer ago than **keep_days**,
and removes files that nothing needs. Rows never change, readers and publishes go on meanwhile, and clearing
the task is always safe. If it fails, the log names the file and what to do; see `docs/operations.md`.
"""


@dag(
    dag_id="compact_tables",
    dag_display_name="Compact tables",
    description="Weekly: merge small files, expire snapshots, remove what nothing needs",
    doc_md=DOC,
    schedule="0 6 * * 0",
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "target_mb": Param(
            256,
            type="integer",
            minimum=128,
            maximum=512,
            title="File size (MB)",
            description="Files smaller than half of it are merged to about this size.",
        ),
        "keep_days": Param(
            7.0,
            type="number",
            exclusiveMinimum=0,
            maximum=3650,
            title="Days to keep",
            description="How long a replaced snapshot stays readable; longer than the longest query.",
        ),
    },
    default_args={
        "retries": 3,
        "retry_delay": timedelta(minutes=5),
        "retry_policy": moderation_retry_policy(),
    },
    tags=["moderation", "maintenance"],
)
def compact_tables() -> None:
    """Wire the one step; what it does is in ``moderation.maintenance.compaction``."""

    @task(doc_md="Compacts every table; returns what became of each.")
    def compact(params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        from dataclasses import asdict  # noqa: PLC0415 - keeps parsing fast, here and below

        from moderation.maintenance.compaction import compact as compact_all  # noqa: PLC0415
        from moderation.settings import Settings  # noqa: PLC0415

        chosen = params or {}
        done = compact_all(
            Settings.from_env(),
            target_bytes=chosen["target_mb"] << 20,
            keep=timedelta(days=chosen["keep_days"]),
        )
        return [asdict(table) for table in done]

    compact()


compact_tables()
