"""Two runs of the Dag ``train_adapter`` at once, each in an Airflow of its own, over the same verdicts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from local_aws.rekognition import launch
from local_aws.seaweedfs import Credentials, SeaweedFS
from moderation.adapters import registry
from moderation.settings import Settings
from support import moderation_runs
from support import rekognition_server as offline
from support.judged import publish_judged

ASKED = {"labels": ["gambling"], "project": "cards", "max_cost_usd": 5.0, "promote": "alone"}
RUN = """
import json, sys
from support import airflow_home
airflow_home.prepare()
from airflow.utils.db import initdb
initdb()
from airflow.dag_processing.dagbag import DagBag
from support import airflow_runs
dag = DagBag(str(airflow_home.REPOSITORY / "dags" / "train_adapter.py")).dags["train_adapter"]
for task in dag.tasks:
    task.retries = 0
print("ready", flush=True)
asked = json.loads(sys.stdin.readline())
run = airflow_runs.run(dag, run_conf=asked)
states = {ti.task_id: str(ti.state) for ti in run.get_task_instances()}
print(json.dumps({"states": states, "trained": airflow_runs.returned(run, "train")}), flush=True)
"""


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


def run_at_once(count: int) -> list[dict[str, Any]]:
    """Begin so many runs at the same moment; what became of each."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RUN],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(count)
    ]
    try:
        for process in running:
            assert process.stdout is not None
            assert any(line == "ready\n" for line in process.stdout)
        for process in running:
            assert process.stdin is not None
            process.stdin.write(json.dumps(ASKED) + "\n")
            process.stdin.flush()
        said = [process.communicate()[0].splitlines() for process in running]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert [process.returncode for process in running] == [0] * count
    return [json.loads(lines[-1]) for lines in said]


# Long: commands that race promise the same in `tests/integration/cli/adapter/test_race.py`.
@pytest.mark.long
@pytest.mark.timeout(1800)
def test_of_two_runs_at_once_one_pays_and_both_come_to_the_same_champion(
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
    first, second = run_at_once(2)
    for one in (first, second):
        assert set(one["states"].values()) == {"success"}, one["states"]
    assert first["trained"] == second["trained"]
    trained = [entry for entry in offline.ledger(quiet_server) if entry["event"] == "training_started"]
    assert len(trained) == 1
    found = registry.load(settings)
    assert [found.champion] == first["trained"]
    assert len(found.events) == 1
