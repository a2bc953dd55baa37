"""Run a Dag made inside a test, through ``dag.test()``, and clear its tasks as a person would."""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
from airflow.models.dagrun import DagRun
from airflow.models.task_state_store import TaskStateStoreModel
from airflow.models.taskinstance import TaskInstance, clear_task_instances
from airflow.providers.amazon.aws.hooks.base_aws import AwsGenericHook
from airflow.sdk import DAG
from airflow.sdk.definitions.dag import _run_task
from airflow.utils.session import create_session
from airflow.utils.state import TaskInstanceState
from jsonschema import validators
from sqlalchemy import delete

_sleep = time.sleep
_TURN_SECONDS = 0.25
"""Who answers for a person writes the same SQLite file: a loop that hardly sleeps keeps it locked."""

_CHECKED: set[str] = set()
"""JSON schemas found valid, as text."""


def run(dag: DAG, **kwargs: Any) -> DagRun:
    """Give ``dag`` a row in the database, which dag.test() wants, and run it; kwargs as dag.test()."""
    store(dag)
    with _without_detours():
        return dag.test(**kwargs)


def store(dag: DAG) -> None:
    """Give ``dag`` its rows in the database, so that its runs can be made there."""
    DagBundlesManager().sync_bundles_to_db()
    bag = _empty_bag()
    bag.bag_dag(dag)
    sync_bag_to_db(bag, "dags-folder", None)


@contextmanager
def _without_detours() -> Iterator[None]:
    """
    Spare ``dag.test()`` what tells a test nothing and takes up most of its time.

    It stores all files of the Dags' folder for the sake of Dags that trigger each other, waits a second
    whenever no task is ready yet, and validates the same few JSON schemas some hundred times. Amazon's hooks
    look for the source of every frame above them, up to three times a client, to tell AWS an operator's name.
    """

    def check_once(check: Any, schema: Any, **kwargs: Any) -> None:
        text = json.dumps(schema, sort_keys=True, default=repr)
        if text not in _CHECKED:
            check(schema, **kwargs)
            _CHECKED.add(text)

    validator = validators.validator_for({})
    with (
        mock.patch("airflow.dag_processing.dagbag.BundleDagBag", return_value=_empty_bag()),
        mock.patch.object(time, "sleep", _short_in_dag_test),
        mock.patch.object(AwsGenericHook, "_get_caller", return_value="Unknown"),
        mock.patch.object(validator, "check_schema", functools.partial(check_once, validator.check_schema)),
    ):
        yield


def _empty_bag() -> DagBag:
    return DagBag("/dev/null", collect_dags=False)


def _short_in_dag_test(seconds: float) -> None:
    mine = sys._getframe(1).f_code is DAG.test.__code__
    _sleep(min(seconds, _TURN_SECONDS) if mine else seconds)


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
