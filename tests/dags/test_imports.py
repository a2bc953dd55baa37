"""Reading the Dag files: no errors, no connections, nothing heavy."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from airflow.dag_processing.dagbag import DagBag

from support.airflow_home import REPOSITORY

DAGS = sorted(path.name for path in (REPOSITORY / "dags").glob("*.py"))

# Runs in a process of its own: what other tests imported would hide what the files import. None is to import
# anything heavy, so that one process can read them all.
READ = """
import json, socket, sys, time
import airflow.sdk
from airflow.sdk import Asset, BaseHook, Param, dag, task

opened = []
def refuse(*arguments, **_):
    opened.append(repr(arguments))
    raise OSError("no connections while a Dag file is read")
socket.socket.connect = refuse
socket.create_connection = refuse
socket.getaddrinfo = refuse
for name in sys.argv[1:]:
    opened.clear()
    begun = time.process_time()
    module = __import__(name)
    seconds = time.process_time() - begun
    heavy = sorted({"moderation.stages", "pyiceberg", "pyarrow", "aiobotocore"} & sys.modules.keys())
    print(json.dumps({"name": name, "seconds": seconds, "opened": opened, "heavy": heavy}))

from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
for name in sys.argv[1:]:
    bag = DagBag(sys.modules[name].__file__)
    dags = {dag_id: DagSerialization.serialize_dag(found) for dag_id, found in bag.dags.items()}
    unwatched = [task.task_id for found in bag.dags.values() for task in found.tasks if not task.retry_policy]
    untagged = [dag_id for dag_id, found in bag.dags.items() if not found.tags]
    print(json.dumps({"name": name, "opened": opened, "errors": bag.import_errors, "dags": list(dags),
                      "untagged": untagged, "unwatched": unwatched}))
"""


NIGHTLY = "moderate_images.py"
"""The one file that MODERATION_SOURCE changes."""


@pytest.mark.parametrize(
    ("names", "source"),
    [
        pytest.param(DAGS, "", id="unscheduled", marks=pytest.mark.long),
        pytest.param([NIGHTLY], "s3://archive/nightly/", id="nightly", marks=pytest.mark.long),
        pytest.param(DAGS, "s3://archive/nightly/", id="all-nightly"),
    ],
)
def test_the_dag_files_are_read_without_connections_and_without_the_pipeline(
    names: list[str], source: str
) -> None:
    folders = [str(REPOSITORY / folder) for folder in ("dags", "plugins", "include")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "MODERATION_SOURCE": source}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, *(name.removesuffix(".py") for name in names)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    assert len(said) == 2 * len(names)
    for found in said:
        wrong = {what: found.get(what) for what in ("opened", "heavy", "errors", "untagged", "unwatched")}
        assert not any(wrong.values()), (found["name"], wrong)
        assert found.get("dags", True), found["name"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [("MODERATION_POLL_SECONDS", "soon"), ("MODERATION_APPROVAL_HOURS", "inf"), ("MODERATION_BACKEND", "b")],
)
def test_a_bad_value_is_an_import_error_that_ends_with_the_variable_and_what_it_takes(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    (error,) = DagBag(str(REPOSITORY / "dags" / "moderate_images.py")).import_errors.values()
    told = f"moderation.variables.table.SettingsError: {variable}='{value}': expected "
    assert error.strip().splitlines()[-1].startswith(told)
    assert error.count("Traceback") == 1
