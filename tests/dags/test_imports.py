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

# Runs in a process of its own: what other tests imported would hide what a file imports.
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
begun = time.process_time()
module = __import__(sys.argv[1])
seconds = time.process_time() - begun
heavy = [name for name in ("moderation.stages", "pyiceberg", "pyarrow", "aiobotocore") if name in sys.modules]
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(module.__file__)
dags = {dag_id: DagSerialization.serialize_dag(found) for dag_id, found in bag.dags.items()}
unwatched = [task.task_id for found in bag.dags.values() for task in found.tasks if not task.retry_policy]
untagged = [dag_id for dag_id, found in bag.dags.items() if not found.tags]
print(json.dumps({"seconds": seconds, "opened": opened, "heavy": heavy, "errors": bag.import_errors,
                  "dags": list(dags), "untagged": untagged, "unwatched": unwatched}))
"""


NIGHTLY = "moderate_images.py"
"""The one file that MODERATION_SOURCE changes."""


@pytest.mark.parametrize(
    ("name", "source"),
    [
        *(pytest.param(name, "", id=f"{name}-unscheduled") for name in DAGS),
        *(
            pytest.param(
                name,
                "s3://archive/nightly/",
                id=f"{name}-nightly",
                marks=() if name == NIGHTLY else pytest.mark.long,
            )
            for name in DAGS
        ),
    ],
)
def test_a_dag_file_is_read_without_connections_and_without_the_pipeline(name: str, source: str) -> None:
    folders = [str(REPOSITORY / folder) for folder in ("dags", "plugins", "include")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders), "MODERATION_SOURCE": source}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ, name.removesuffix(".py")],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {found['seconds']:.2f} s of processor time")
    assert found["dags"]
    assert not found["errors"]
    assert not found["untagged"]
    assert not found["unwatched"], "tasks without a retry policy"
    assert not found["opened"]
    assert not found["heavy"]


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
