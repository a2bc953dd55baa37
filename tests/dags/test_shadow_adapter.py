"""The Dag ``shadow_adapter``: a challenger on a sample, paid once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from moderation.adapters.shadow import budget
from moderation.settings import Settings
from support import airflow_runs, moderation_runs
from support import rekognition_server as offline
from support.airflow_home import REPOSITORY
from support.judged import publish_judged

pytestmark = pytest.mark.usefixtures("airflow_db")

ARN = "arn:aws:rekognition:us-east-1:123456789012:project/p/version/shadow/1700000000000"


def read_dag() -> DAG:
    bag = DagBag(str(REPOSITORY / "dags" / "shadow_adapter.py"))
    assert not bag.import_errors
    dag = bag.dags["shadow_adapter"]
    for task in dag.tasks:
        (task.partial_kwargs if task.is_mapped else vars(task))["retries"] = 0
    return dag


def test_the_calls_under_way_are_those_by_which_the_budget_is_kept() -> None:
    assert read_dag().get_task("ask").partial_kwargs["max_in_flight"] == budget.IN_FLIGHT


@pytest.mark.slow
def test_a_sample_is_asked_once_and_a_clear_pays_for_nothing(
    aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path, s3_client: Any, dag_server: Any
) -> None:
    moderation_runs.environment(aws_env, dag_server, bucket, tmp_path)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    publish_judged(Settings.from_env(), s3_client, bucket, red=1, images=12)
    offline.local(dag_server, "/adapters", method="PUT", body={ARN: "TRAINING_COMPLETED"})
    dag = read_dag()
    try:
        run = airflow_runs.run(dag, run_conf={"adapter": ARN, "images": 8, "max_cost_usd": 1.0})
        assert {str(ti.state) for ti in run.get_task_instances()} == {"success"}
        (first,) = airflow_runs.returned(run, "compare")
        airflow_runs.clear_and_run(dag, run, "sample")
    finally:
        offline.local(dag_server, "/adapters", method="PUT", body={})
    assert airflow_runs.returned(run, "compare") == [first]
    assert first["comparison"]["images"] == 8
    paid = [
        entry["source_ref"]
        for entry in offline.ledger(dag_server)
        if entry["event"] == "detect_billed" and bucket in entry["source_ref"]
    ]
    assert len(paid) == len(set(paid)) == 8
