"""The deadline of the nightly run, as Airflow keeps it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.deadline import Deadline
from airflow.models.serialized_dag import SerializedDagModel
from airflow.models.taskinstance import clear_task_instances
from airflow.sdk import timezone
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState, TaskInstanceState
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import select

from support import moderation_runs
from support.airflow_home import REPOSITORY

pytestmark = pytest.mark.usefixtures("airflow_db")


def nightly_run() -> str:
    """A run of the Dag as the scheduler makes it; gives its id."""
    bag = DagBag(str(REPOSITORY / "dags" / "moderate_images.py"))
    DagBundlesManager().sync_bundles_to_db()
    sync_bag_to_db(bag, "dags-folder", None)
    now = timezone.utcnow()
    run_id = f"nightly-{now.isoformat()}"
    with create_session() as session:
        found = SerializedDagModel.get(moderation_runs.DAG_ID, session=session)
        assert found is not None
        found.dag.create_dagrun(
            run_id=run_id,
            logical_date=now,
            data_interval=(now, now),
            run_after=now,
            state=DagRunState.QUEUED,
            run_type=DagRunType.SCHEDULED,
            triggered_by=DagRunTriggeredByType.TIMETABLE,
            session=session,
        )
    return run_id


def test_a_nightly_run_that_failed_can_be_cleared_and_keeps_its_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MODERATION_SOURCE", "s3://archive/nightly/")
    monkeypatch.setenv("MODERATION_DEADLINE_HOURS", "2")
    run_id = nightly_run()
    with create_session() as session:
        run = session.scalars(select(DagRun).where(DagRun.run_id == run_id)).one()
        due = run.queued_at + timedelta(hours=2)
        tasks = run.get_task_instances(session=session)
        for task in tasks:
            task.state = TaskInstanceState.FAILED
        run.state = DagRunState.FAILED
        session.flush()
        clear_task_instances(tasks, session)
        assert run.state == DagRunState.QUEUED
        (late,) = session.scalars(select(Deadline).where(Deadline.dagrun_id == run.id)).all()
        assert late.deadline_time == due
