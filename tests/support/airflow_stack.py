"""The stack of `make up` on free ports, whose parts a test kills and starts again."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import urllib.error
import urllib.parse
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psutil

from local_aws import ports
from local_aws.stack.airflow_api import AirflowApi, ensure_job_pool
from local_aws.stack.layout import Layout
from local_aws.stack.registry import KEPT
from local_aws.stack.services import AIRFLOW_PARTS, Stack
from support import rekognition_server as offline
from support.airflow_home import REPOSITORY

PARTS = (*AIRFLOW_PARTS, "triggerer")
OVER = {"success", "failed"}
PATIENCE_SECONDS = 240
"""What never comes fails a test; on a machine that has other work, what comes may take its time."""
# A dead part is noticed after seconds. Nothing else of Airflow's behaviour is changed.
SOON = {
    "AIRFLOW__SCHEDULER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "2",
    "AIRFLOW__WORKERS__MIN_HEARTBEAT_INTERVAL": "2",
    "AIRFLOW__TRIGGERER__JOB_HEARTBEAT_SEC": "1",
    "AIRFLOW__TRIGGERER__TRIGGERER_HEALTH_CHECK_THRESHOLD": "4",
    "AIRFLOW__DAG_PROCESSOR__REFRESH_INTERVAL": "5",
    # A file that was read is not read again: nobody changes it.
    "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
}


class TestedStack(Stack):
    """A stack that notices deaths soon and has what a test adds to its environment."""

    def __init__(self, layout: Layout, environ: dict[str, str], added: dict[str, str]) -> None:
        super().__init__(layout, owner=KEPT, environ=environ)
        self._added = added

    def airflow_environment(self, port: int) -> dict[str, str]:
        """As of `make up`, and what was added."""
        return {**super().airflow_environment(port), **SOON, **self._added}


class Airflow:
    """A running stack: its parts, its REST API, its S3 and what Rekognition was paid for.

    A triggerer is no part of it until ``parts`` names it.

    :param root: the checkout it runs in, with a folder ``dags``.
    :param added: variables of the Airflow processes.
    """

    def __init__(self, root: Path, added: dict[str, str]) -> None:
        keep = ("AIRFLOW", "AWS_", "MODERATION_", "COV_", "PYTEST_")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(keep)}
        environ = {
            **inherited,
            "S3_PORT": str(ports.find_free(companion_offset=10_000)),
            "REKOGNITION_PORT": str(ports.find_free()),
            "AIRFLOW_PORT": str(ports.find_free()),
        }
        self.layout = Layout(root)
        self.parts = AIRFLOW_PARTS
        self.stack = TestedStack(self.layout, environ, added)

    def start(self) -> None:
        """Start what does not run, as `make up` does, and wait until it is healthy."""
        with warnings.catch_warnings():
            # They are meant to outlive the objects that started them, and are found by the registry.
            warnings.filterwarnings("ignore", "subprocess .* is still running", ResourceWarning)
            self.stack.start_aws()
            url = self.stack.start_airflow(parts=self.parts)
        self.api = AirflowApi(url, user="admin", password=self.stack.secrets.airflow_password)
        self.api.wait_healthy(lambda: None)
        ensure_job_pool(self.api)

    def kill(self, *parts: str) -> None:
        """``kill -9`` parts of the stack with all their children, as a machine that dies does."""
        entries = self.stack.registry.entries()
        for part in parts:
            leader = psutil.Process(entries[part].pid)
            # A task has a process group of its own and would outlive that of the scheduler.
            for process in [leader, *leader.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        until(lambda: not any(entries[part].alive() for part in parts), what="the death of what was killed")

    def kill_task(self, dag_id: str, run_id: str, task_id: str) -> None:
        """``kill -9`` a process that executes a task, not the worker that watches it."""

        def killed() -> bool:
            for ti in self.instances(dag_id, run_id, task_id):
                if ti["pid"] and ti["state"] == "running":
                    with contextlib.suppress(ProcessLookupError):  # it ended just now: the next one, then
                        os.kill(ti["pid"], signal.SIGKILL)
                        return True
            return False

        until(killed, what=f"a process of {task_id}", every=1)

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Call the REST API; the answer to a refusal is an AssertionError that shows it."""
        try:
            return self.api._call(method, f"/api/v2{path}", body)
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def trigger(self, dag_id: str, run_id: str, **conf: Any) -> str:
        """Trigger a run with params, as a person does; returns its id."""
        self.api.wait_for_dag(dag_id, lambda: None)
        self.api.trigger(dag_id, run_id=run_id, conf=conf)
        return run_id

    def instances(self, dag_id: str, run_id: str, task_id: str | None = None) -> list[dict[str, Any]]:
        """The task instances of a run as the REST API tells them."""
        where = f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances?limit=1000"
        found: list[dict[str, Any]] = self.call("GET", where)["task_instances"]
        return [ti for ti in found if task_id in (None, ti["task_id"])]

    def states(self, dag_id: str, run_id: str, task_id: str) -> list[str]:
        """States of the instances of a task."""
        return [str(ti["state"]) for ti in self.instances(dag_id, run_id, task_id)]

    def end(self, dag_id: str, run_id: str) -> str:
        """Wait for the end of a run and return its state."""
        return str(
            until(
                lambda: (state := self.api.run_state(dag_id, run_id)) in OVER and state,
                what=lambda: f"the end of {run_id}: {self._summary(dag_id, run_id)}",
                every=1,
            )
        )

    def log(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1, attempt: int = 1) -> str:
        """What a person reads of a try: its log's lines as text."""
        where = (
            f"/dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id, safe='')}/taskInstances/{task_id}"
            f"/logs/{attempt}?full_content=true&map_index={map_index}"
        )
        lines = self.call("GET", where)["content"]
        return "\n".join(str(line.get("event", line)) if isinstance(line, dict) else line for line in lines)

    @property
    def rekognition(self) -> Any:
        """What the functions of ``support.rekognition_server`` take for a server."""
        facts = self.stack.registry.entries()["rekognition"].facts
        return SimpleNamespace(endpoint_url=facts["endpoint"], admin_token=facts["admin_token"])

    def jobs(self, beginning: str) -> list[dict[str, Any]]:
        """The jobs whose name begins so, oldest first."""
        _, answer = offline.local(self.rekognition, "/jobs")
        found = [job for job in answer["jobs"] if job["job_name"].startswith(beginning)]
        return sorted(found, key=lambda job: str(job["created_at"]))

    @contextmanager
    def s3(self) -> Iterator[Any]:
        """A client of the stack's S3."""
        environment = self.stack.aws_environment()
        client = boto3.session.Session().client(
            "s3",
            endpoint_url=environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name="us-east-1",
        )
        try:
            yield client
        finally:
            client.close()

    def _summary(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        return self.api.task_states(dag_id, run_id)


def until(
    check: Callable[[], Any],
    *,
    what: Callable[[], object] | str = "the condition",
    timeout: float = PATIENCE_SECONDS,
    every: float = 0.2,
) -> Any:
    """Poll until ``check`` answers something true, and return that; ``every`` is in seconds."""
    deadline = time.monotonic() + timeout
    while not (answer := check()):
        assert time.monotonic() < deadline, what() if callable(what) else f"{what} did not come about"
        time.sleep(every)
    return answer


@contextmanager
def running(root: Path, added: dict[str, str]) -> Iterator[Airflow]:
    """Run a stack in ``root``, whose folder ``dags`` is there already; nothing is left of it."""
    for folder in ("plugins", "include"):
        (root / folder).symlink_to(REPOSITORY / folder)
    airflow = Airflow(root, added)
    try:
        airflow.start()
        yield airflow
    finally:
        airflow.stack.stop()
