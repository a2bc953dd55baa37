"""From when on a run's deadline counts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow.sdk.definitions.deadline import BaseDeadlineReference  # in `airflow.sdk` from 3.3.2 on only

from moderation.archive.backfill.names import RUN_PREFIX


class RunQueued(BaseDeadlineReference):
    """
    When the run was queued first; clearing its tasks does not move that. A chunk of an archive has none.

    Airflow's own ``DAGRUN_QUEUED_AT`` would do, but from 3.3.0 on a run that has such a deadline cannot be
    cleared: page, API and command line answer with an error (apache/airflow issue 70368).
    """

    required_kwargs = frozenset({"dag_id", "run_id"})

    def _evaluate_with(self, *, session: Any, dag_id: str, run_id: str) -> datetime | None:
        """Read it from the database of Airflow, which only its own processes call this in."""
        if run_id.startswith(RUN_PREFIX):
            return None
        from airflow.models.dagrun import DagRun  # noqa: PLC0415 - not for workers
        from sqlalchemy import select  # noqa: PLC0415

        found = select(DagRun.queued_at).where(DagRun.dag_id == dag_id, DagRun.run_id == run_id)
        queued_at: datetime | None = session.scalar(found)
        return queued_at
