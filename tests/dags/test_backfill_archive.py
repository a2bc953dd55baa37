from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.api.datamodels._generated import DagRunState
from airflow.sdk.execution_time.comms import DagRunStateResult

from moderation.archive.backfill import step
from moderation_airflow.archives.runs import ARCHIVES_LAST, ArchivesLast, KnownRuns
from moderation_airflow.deadline import RunQueued

DAGS = Path(__file__).parents[2] / "dags"


def load_dag(name: str) -> Any:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415 - airflow is slow to import

    bag = DagBag(str(DAGS / f"{name}.py"))
    assert not bag.import_errors
    return bag.dags[name]


class Supervisor:
    """What the supervisor of a task answers."""

    runs: dict[str, str] = {"archive__old__00001": "failed", "scheduled__1": "running", "manual__1": "queued"}  # noqa: RUF012
    tasks: tuple[tuple[str, str, str | None], ...] = (
        ("archive__old__00001", "approve", "success"),
        *(("archive__old__00001", "analyse", state) for state in ("success", "deferred", "scheduled", None)),
        ("archive__old__00001", "detect", None),
        ("archive__old__00002", "approve", None),
        ("archive__old__00002", "analyse", None),
    )

    def get_dr_count(
        self, *, dag_id: str, run_ids: list[str] | None = None, states: list[str] | None = None
    ) -> int:
        assert dag_id == "moderate_images"
        found = [run for run in self.runs if run_ids is None or run in run_ids]
        return sum(states is None or self.runs[run] in states for run in found)

    def get_ti_count(
        self, *, dag_id: str, run_ids: list[str], task_ids: list[str], states: list[str] | None
    ) -> int:
        assert dag_id == "moderate_images"
        found = [
            state
            for run, task, state in self.tasks
            if run in run_ids and task in task_ids and (states is None or state in states)
        ]
        return len(found)

    def xcom_pull(self, *, dag_id: str, run_id: str, task_ids: str, key: str) -> str | None:
        assert (dag_id, key) == ("moderate_images", "failure")
        return (
            {"report": "the run's own words", "plan": "not these"}.get(task_ids) if "old" in run_id else None
        )

    def get_dagrun_state(self, dag_id: str, run_id: str) -> DagRunState:
        return DagRunStateResult.model_validate({"state": self.runs[run_id]}).state


def test_the_conductor_asks_the_supervisor_what_became_of_runs() -> None:
    known = KnownRuns(Supervisor())
    assert known.states(["archive__old__00001", "archive__old__00002"]) == {
        "archive__old__00001": "failed",
        "archive__old__00002": None,
    }
    assert known.live() == 2
    alive = [known.lives("moderate_images", run) for run in (*Supervisor.runs, "of another installation")]
    assert alive == [False, True, True, False]
    assert known.why("archive__old__00001") == "the run's own words"
    assert known.why("archive__new__00001") == ""


def test_the_conductor_learns_how_many_manifests_have_no_job_slot_yet() -> None:
    ahead = KnownRuns(Supervisor()).ahead(["archive__old__00001", "archive__old__00002"])
    assert ahead == {"archive__old__00001": 3, "archive__old__00002": None}


def test_one_look_at_a_time_begins_runs_that_are_named_before(monkeypatch: pytest.MonkeyPatch) -> None:
    dag = load_dag("backfill_archive")
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    begin = dag.get_task("begin")
    assert begin.partial_kwargs["trigger_dag_id"] == "moderate_images"
    assert begin.partial_kwargs["skip_when_already_exists"]
    assert dag.get_task("ended").trigger_rule == "all_done", "also when a damaged archive made the look fail"
    assert dag.task_ids == ["look", "begin", "begun", "ended", "reconcile"]
    asked: dict[str, Any] = {}

    def looked(runs: Any, *, asker: str) -> list[dict[str, Any]]:
        asked.update(live=runs.live(), asker=asker)
        return [{"trigger_run_id": "archive__old__00001", "conf": {}, "reset_dag_run": False}]

    monkeypatch.setattr(step, "step", looked)
    found = dag.get_task("look").python_callable(ti=Supervisor(), run_id="scheduled__x")
    assert asked == {"live": 2, "asker": "scheduled__x"}
    noted: list[str] = []
    monkeypatch.setattr(step, "begun", noted.extend)
    dag.get_task("begun").python_callable(found)
    assert noted == ["archive__old__00001"]


def test_tasks_of_an_archive_wait_behind_those_of_the_night() -> None:
    analyse = load_dag("moderate_images").get_task("analyse")
    weights = [
        ArchivesLast().get_weight(SimpleNamespace(task=analyse, run_id=run_id))
        for run_id in ("scheduled__2026-11-22", "manual__1", "archive__old__00001")
    ]
    assert weights[0] == weights[1] > weights[2]
    assert analyse.weight_rule == ARCHIVES_LAST


def test_a_chunk_has_no_deadline_of_a_night() -> None:
    reference = RunQueued()
    assert (
        reference._evaluate_with(session=None, dag_id="moderate_images", run_id="archive__old__00001") is None
    )
