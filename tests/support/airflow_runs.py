"""Run a Dag made inside a test, through ``dag.test()``, and clear its tasks as a person would."""

from __future__ import annotations

from typing import Any

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.sdk import DAG
from airflow.sdk.definitions.dag import _run_task
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from sqlalchemy import delete


def run(dag: DAG, **kwargs: Any) -> DagRun:
    """Give ``dag`` a row in the database, which dag.test() wants, and run it; kwargs as dag.test()."""
    DagBundlesManager().sync_bundles_to_db()
    bag = DagBag("/dev/null", collect_dags=False)
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)
    return dag.test(**kwargs)


def instances(dag_run: DagRun, task_id: str) -> list[TaskInstance]:
    """Give the instances of a task, by map index, as the database has them now."""
    with create_session() as session:
        return sorted(
            (ti for ti in dag_run.get_task_instances(session=session) if ti.task_id == task_id),
            key=lambda ti: ti.map_index,
        )


def clear_and_run(dag: DAG, dag_run: DagRun, task_id: str) -> None:
    """Clear the instances of a task and run each until it ends, its retries included."""
    with create_session() as session:
        clear_task_instances(instances(dag_run, task_id), session)
    for ti in instances(dag_run, task_id):
        run_instance(dag, ti)


def run_instance(dag: DAG, ti: TaskInstance) -> None:
    """Run a task instance as the scheduler would, until it neither retries nor is to be run."""
    while ti.state in (None, TaskInstanceState.UP_FOR_RETRY):
        with create_session() as session:
            ti.try_number += 1
            ti.state = TaskInstanceState.SCHEDULED
            session.merge(ti)
        _run_task(ti=ti, task=dag.task_dict[ti.task_id], run_triggerer=True)
        with create_session() as session:
            ti = session.get(TaskInstance, ti.id)


def returned(dag_run: DagRun, task_id: str) -> list[Any]:
    """Give what the instances of a task returned, by map index."""
    return [ti.xcom_pull(task_ids=task_id, map_indexes=ti.map_index) for ti in instances(dag_run, task_id)]


def forget_state(dag_run: DagRun, keys: list[str]) -> None:
    """Delete rows of the task state store, as its garbage collection does."""
    with create_session() as session:
        session.execute(
            delete(TaskStateStoreModel).where(
                TaskStateStoreModel.dag_run_id == dag_run.id, TaskStateStoreModel.key.in_(keys)
            )
        )
