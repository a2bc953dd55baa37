"""Runs that work off chunks of an archive, as a task of Airflow can know and rank them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow.task.priority_strategy import PriorityWeightStrategy
from airflow.utils.state import DagRunState, State

from moderation.archive.backfill.names import DAG_ID, RUN_PREFIX
from moderation_airflow import failure_reason
from moderation_airflow.report import TASKS

_LIVE = ["queued", "running"]
_ASKING = ("analyse", "detect")
_ENDED = sorted(state.value for state in State.finished)
_BEGUN = ["queued", "running", "deferred", "restarting", "up_for_retry", "up_for_reschedule"]


class KnownRuns:
    """
    What the supervisor of a task tells of runs; no task asks Airflow's database.

    :param ti: the running task's instance.
    """

    def __init__(self, ti: Any) -> None:
        self._ti = ti

    def states(self, run_ids: list[str]) -> Mapping[str, str | None]:
        """Return the state of each, None where there is no such run."""
        return {run_id: self._state(run_id) for run_id in run_ids}

    def live(self) -> int:
        """Return how many runs of the Dag have not ended."""
        return int(self._ti.get_dr_count(dag_id=DAG_ID, states=_LIVE))

    def lives(self, dag_id: str, run_id: str) -> bool:
        """Return whether a run has not ended; one that Airflow does not know does not live."""
        return bool(self._ti.get_dr_count(dag_id=dag_id, run_ids=[run_id], states=_LIVE))

    def ahead(self, run_ids: list[str]) -> Mapping[str, int | None]:
        """Return how many manifests of each have no job slot yet, None where the run is not planned yet."""
        return {run_id: self._ahead(run_id) for run_id in run_ids}

    def _ahead(self, run_id: str) -> int | None:
        if not self._count([run_id], ["approve"], _ENDED):
            return None
        tasks = [*_ASKING]
        return self._count([run_id], tasks) - self._count([run_id], tasks, [*_ENDED, *_BEGUN])

    def _count(self, run_ids: list[str], task_ids: list[str], states: list[str] | None = None) -> int:
        return int(self._ti.get_ti_count(dag_id=DAG_ID, run_ids=run_ids, task_ids=task_ids, states=states))

    def why(self, run_id: str) -> str:
        """Return why a run failed, as its tasks kept it; "" where none did, as when it was killed."""
        for task_id in ("report", *TASKS):
            found = self._ti.xcom_pull(dag_id=DAG_ID, run_id=run_id, task_ids=task_id, key=failure_reason.KEY)
            if isinstance(found, str):
                return found
        return ""

    def _state(self, run_id: str) -> str | None:
        if not self._ti.get_dr_count(dag_id=DAG_ID, run_ids=[run_id]):
            return None
        # An enumeration, whose own text would name its class.
        return DagRunState(self._ti.get_dagrun_state(DAG_ID, run_id)).value


class ArchivesLast(PriorityWeightStrategy):
    """
    Whoever waits for a slot of a pool: tasks of an archive's runs come after all others.

    A slot that falls free goes to the nightly run, however many manifests of an archive wait.
    """

    def get_weight(self, ti: Any) -> int:
        """Return the weight of a task instance."""
        weight = int(ti.task.priority_weight)
        return weight if str(ti.run_id).startswith(RUN_PREFIX) else weight + 1_000


ARCHIVES_LAST = f"{ArchivesLast.__module__}.{ArchivesLast.__qualname__}"
"""As a Dag names it: Airflow's own processes find the class by the plugin."""
