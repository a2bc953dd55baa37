"""The Dag ``train_adapter`` from verdicts to the champion, on real training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG

from local_aws.rekognition import launch
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.adapters import registry
from moderation.settings import Settings
from rekognition.projects.operators import RekognitionCreateProjectVersionOperator
from support import airflow_runs, moderation_runs
from support import rekognition_server as offline
from support.airflow_home import REPOSITORY
from support.judged import publish_judged

pytestmark = pytest.mark.usefixtures("airflow_db")

ASKED = {"labels": ["gambling"], "project": "cards", "max_cost_usd": 5.0, "promote": "alone"}


def read_dag() -> DAG:
    bag = DagBag(str(REPOSITORY / "dags" / "train_adapter.py"))
    assert not bag.import_errors
    dag = bag.dags["train_adapter"]
    for task in dag.tasks:
        task.retries = 0
    return dag


@pytest.fixture
def quiet_server(
    tmp_path: Path, s3_server: SeaweedFS, credentials: Credentials
) -> Iterator[launch.Rekognition]:
    """An endpoint whose base model misses everything, so that there is something to learn."""
    quiet = offline.quick(moderator="support.quiet_moderator:QuietModerator")
    with launch.start(
        tmp_path / "server", credentials, s3_server.endpoint_url, settings=quiet, python_path=[offline.TESTS]
    ) as server:
        yield server


def noted_at_the_wait(settings: Settings, patch: pytest.MonkeyPatch) -> list[registry.Version]:
    """What is known of a training when its wait begins."""
    noted: list[registry.Version] = []
    real = RekognitionCreateProjectVersionOperator.poll_until_complete

    def wait(operator: Any, external_id: Any, context: Any) -> str:
        noted.append(registry.load(settings).versions[str(external_id)])
        return real(operator, external_id, context)

    patch.setattr(RekognitionCreateProjectVersionOperator, "poll_until_complete", wait)
    return noted


def test_verdicts_become_the_champion_and_a_clear_trains_nothing_anew(
    aws_env: pytest.MonkeyPatch,
    bucket: str,
    tmp_path: Path,
    s3_client: Any,
    quiet_server: launch.Rekognition,
) -> None:
    moderation_runs.environment(aws_env, quiet_server, bucket, tmp_path)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    aws_env.setenv("MODERATION_POLL_SECONDS", "0.1")
    settings = Settings.from_env()
    publish_judged(settings, s3_client, bucket, red=80, images=180)
    dag = read_dag()
    at_wait = noted_at_the_wait(settings, aws_env)
    run = airflow_runs.run(dag, run_conf=ASKED)
    assert {ti.task_id: str(ti.state) for ti in run.get_task_instances()} == dict.fromkeys(
        dag.task_ids, "success"
    )
    (arn,) = airflow_runs.returned(run, "promote")
    found = registry.load(settings)
    assert found.champion == arn
    assert found.versions[arn].asked_by == "dag_test"
    (begun,) = at_wait
    assert (begun.arn, begun.asked_by, begun.set_uri, begun.trained_at) == (
        arn, "dag_test", found.versions[arn].set_uri, None,
    )  # fmt: skip
    assert [event.person for event in found.events] == ["Dag train_adapter"]
    for task_id in ("training_set", "train", "evaluate", "promote"):
        airflow_runs.clear_and_run(dag, run, task_id)
    assert airflow_runs.returned(run, "train") == [arn]
    assert registry.load(settings) == found
    trained = [entry for entry in offline.ledger(quiet_server) if entry["event"] == "training_started"]
    assert len(trained) == 1


def test_too_few_errors_stop_before_anything_is_paid(
    aws_env: pytest.MonkeyPatch, bucket: str, tmp_path: Path, dag_server: Any
) -> None:
    moderation_runs.environment(aws_env, dag_server, bucket, tmp_path)
    aws_env.setenv("MODERATION_REVIEW_DB", str(tmp_path / "review.db"))
    run = airflow_runs.run(read_dag(), run_conf=ASKED)
    states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
    assert (states["eligibility"], states["train"]) == ("failed", "upstream_failed")
