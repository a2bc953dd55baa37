"""The few calls of Airflow's REST API that a run needs."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

from local_aws import ports
from local_aws.stack import environment
from local_aws.stack.layout import StackError
from moderation.reference import limits

_RUNNING = {"queued", "running", "scheduled", "restarting"}


class AirflowApi:
    """A logged-in client.

    :param base_url: for example ``http://127.0.0.1:8080``.
    """

    def __init__(self, base_url: str, *, user: str, password: str) -> None:
        self._base = base_url
        self._login = {"username": user, "password": password}
        self._token = ""

    def wait_healthy(self, check: Callable[[], None], *, timeout: float = 600.0) -> None:
        """Wait until the scheduler and the DAG processor are alive.

        :param check: called at each poll; raises when waiting is pointless.
        :raises StackError: not healthy in time.
        """

        def healthy() -> bool:
            state = self._call("GET", "/api/v2/monitor/health", authenticated=False)
            return all(
                state[part]["status"] == "healthy" for part in ("metadatabase", "scheduler", "dag_processor")
            )

        self._poll(healthy, check, timeout, "Airflow did not become healthy")

    def wait_for_dag(self, dag_id: str, check: Callable[[], None], *, timeout: float = 600.0) -> None:
        """Wait until the DAG file has been parsed.

        :raises StackError: the DAG has an import error, or did not appear in time.
        """

        def known() -> bool:
            try:
                if not self._call("GET", f"/api/v2/dags/{_quoted(dag_id)}")["is_stale"]:
                    return True
            except urllib.error.HTTPError as error:
                with error:
                    if error.code != 404:
                        raise
            broken = self._call("GET", "/api/v2/importErrors")["import_errors"]
            if broken:
                raise StackError(f"{broken[0]['filename']}: {broken[0]['stack_trace'].strip()}")
            return False

        self._poll(known, check, timeout, f"the DAG {dag_id} did not appear")

    def make_pool(self, name: str, *, slots: int, description: str) -> None:
        """Make a pool whose slots are held while a task is deferred, too; one that is there stays."""
        body = {"name": name, "slots": slots, "description": description, "include_deferred": True}
        try:
            self._call("POST", "/api/v2/pools", body)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:
                    raise

    def trigger(self, dag_id: str, *, run_id: str, conf: dict[str, Any]) -> None:
        """Unpause the DAG and start one run of it; a run of this id that is there already stays."""
        self._call("PATCH", f"/api/v2/dags/{_quoted(dag_id)}", {"is_paused": False})
        body = {"dag_run_id": run_id, "logical_date": None, "conf": conf}
        try:
            self._call("POST", f"/api/v2/dags/{_quoted(dag_id)}/dagRuns", body)
        except urllib.error.HTTPError as error:
            with error:
                if error.code != 409:  # an earlier call did it, whose answer was lost
                    raise

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return the state of a run: queued, running, success or failed."""
        run = self._call("GET", f"/api/v2/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}")
        return str(run["state"])

    def recent_runs(self, dag_id: str, *, limit: int = 50) -> list[tuple[str, str]]:
        """Return id and state of the newest runs, newest first."""
        path = f"/api/v2/dags/{_quoted(dag_id)}/dagRuns?order_by=-run_after&limit={limit}"
        return [(run["dag_run_id"], str(run["state"])) for run in self._call("GET", path)["dag_runs"]]

    def task_states(self, dag_id: str, run_id: str) -> dict[str, list[str]]:
        """Return the states of the task instances by task id, mapped ones together, in the DAG's order."""
        path = f"/api/v2/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}/taskInstances?limit=1000"
        found: dict[str, list[str]] = {}
        for instance in self._call("GET", path)["task_instances"]:
            found.setdefault(instance["task_id"], []).append(instance["state"] or "none")
        return found

    def xcom(self, dag_id: str, run_id: str, task_id: str) -> Any:
        """Return what a task returned, or None when it returned nothing."""
        path = (
            f"/api/v2/dags/{_quoted(dag_id)}/dagRuns/{_quoted(run_id)}/taskInstances/{_quoted(task_id)}"
            "/xcomEntries/return_value?deserialize=false"
        )
        try:
            value = self._call("GET", path)["value"]
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise
        return json.loads(value) if isinstance(value, str) and value[:1] in '{["' else value

    def _poll(
        self, ready: Callable[[], bool], check: Callable[[], None], timeout: float, complaint: str
    ) -> None:
        deadline = time.monotonic() + timeout
        while True:
            check()
            try:
                if ready():
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                if isinstance(error, urllib.error.HTTPError) and error.code < 500:
                    raise
            if time.monotonic() > deadline:
                remedy = "see var/logs, then make down and start again"
                raise StackError(f"{complaint} within {timeout:.0f} s; {remedy}")
            time.sleep(0.3)

    def _call(self, method: str, path: str, body: Any = None, *, authenticated: bool = True) -> Any:
        try:
            return self._send(method, path, body, authenticated=authenticated)
        except urllib.error.HTTPError as error:
            if error.code != 401 or not self._token:
                raise
            error.close()
        self._token = ""  # it has expired, in a run of days
        return self._send(method, path, body, authenticated=authenticated)

    def _send(self, method: str, path: str, body: Any, *, authenticated: bool) -> Any:
        headers = {"Content-Type": "application/json"}
        if authenticated:
            if not self._token:
                self._token = self._call("POST", "/auth/token", self._login, authenticated=False)[
                    "access_token"
                ]
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._base}{path}", data=data, headers=headers, method=method)  # noqa: S310 - loopback
        with ports.open_local(request, timeout=30) as answer:
            return json.load(answer)


def refusal(error: urllib.error.URLError) -> str:
    """What Airflow answered, or that it did not, in one line."""
    if not isinstance(error, urllib.error.HTTPError):
        return f"Airflow cannot be reached ({error.reason}); see var/logs, and start it with: make up"
    with error:
        try:
            detail = json.load(error).get("detail", "")
        except (ValueError, AttributeError, OSError):
            detail = error.reason
    return f"Airflow answered {error.code} to {error.url}: {detail}; see var/logs"


def ensure_job_pool(api: AirflowApi) -> None:
    """Make the pool that keeps all Dags together below the account's quota of bulk jobs."""
    slots = limits.quotas(environment.REGION).bulk_concurrent_jobs
    api.make_pool(environment.JOB_POOL, slots=slots, description="Rekognition bulk jobs open at once")


def is_unfinished(states: list[str]) -> bool:
    """Whether any of a task's instances is under way."""
    return any(state in _RUNNING for state in states)


def _quoted(part: str) -> str:
    return urllib.parse.quote(part, safe="")
