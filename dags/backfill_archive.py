"""The conductor of archives: chunk after chunk, beside the nightly run and behind it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.providers.standard.operators.trigger_dagrun import TriggerDagRunOperator
from airflow.sdk import dag, task

from moderation.archive.backfill.names import DAG_ID
from moderation_airflow.machines import several_hosts
from moderation_airflow.retry_policy import moderation_retry_policy

EVERY = "*/5 * * * *"

several_hosts.refuse_own_disks()

DOC = """
### Work off archives

An archive is begun with `moderation archive start NAME SOURCE`, which cuts it into chunks. This Dag looks
every five minutes what became of the chunks under way and begins the next: each a run of *Moderate images*,
two at once, and up to eight where jobs are so quick that manifests would run out. It begins none while
another run of *Moderate images* goes on, and their tasks come after all others when slots of the pool fall
free.

| task | what it does | if it fails |
|---|---|---|
| look | notes what became of runs, and which to begin | the next look does the same |
| begin | begins such a run, or clears a failed one: jobs are found again, not paid again | the next look |
| begun | notes that they were begun | the next look sees it |
| ended, reconcile | lists an ended archive again: every key answered, refused, gone or owed | see its log |

All state is in S3: a scheduler that is killed, and runs that Airflow has forgotten, change nothing. See
`moderation archive status`.
"""


@dag(
    dag_id="backfill_archive",
    dag_display_name="Backfill archive",
    description="Works off archives in chunks, beside the nightly run and behind it",
    doc_md=DOC,
    schedule=EVERY,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    default_args={
        "retries": 2,
        "retry_delay": timedelta(seconds=30),
        "retry_policy": moderation_retry_policy(),
    },
    tags=["moderation", "rekognition"],
)
def backfill_archive() -> None:
    """Wire the steps of ``moderation.archive.backfill``."""

    @task(doc_md="Notes what became of runs; returns those that are to be begun.")
    def look(ti: Any = None, run_id: str | None = None) -> list[dict[str, Any]]:
        from moderation.archive.backfill import step  # noqa: PLC0415 - keeps parsing fast
        from moderation_airflow.archives.runs import KnownRuns  # noqa: PLC0415

        return step.step(KnownRuns(ti), asker=str(run_id))

    @task(doc_md="Notes that the runs were begun.")
    def begun(asked: list[dict[str, Any]]) -> None:
        from moderation.archive.backfill import step  # noqa: PLC0415

        step.begun([one["trigger_run_id"] for one in asked])

    # Also when the look failed: an archive that is damaged keeps no other from its end.
    @task(trigger_rule="all_done", doc_md="Returns the archives that are to be reconciled.")
    def ended() -> list[str]:
        from moderation.archive.backfill import step  # noqa: PLC0415

        return step.due()

    @task(doc_md="Lists the archive again and says of every key what became of it.")
    def reconcile(name: str) -> dict[str, Any]:
        from moderation.archive.backfill import step  # noqa: PLC0415
        from moderation.publish import gone  # noqa: PLC0415

        return step.reconcile(name, mark=gone.mark)

    asked = look()
    begin = TriggerDagRunOperator.partial(
        task_id="begin",
        trigger_dag_id=DAG_ID,
        # The id names the chunk: asked for twice, it is one run.
        skip_when_already_exists=True,
        doc_md="Begins the run of a chunk, or clears it.",
    ).expand_kwargs(asked)
    begin >> begun(asked)
    names = ended()
    asked >> names
    reconcile.expand(name=names)


backfill_archive()
