"""Starting the parts of the stack, each only when it does not run yet."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import boto3
import psutil
from botocore.config import Config

from local_aws import isolation, ports, private_files, process, seaweedfs
from local_aws.rekognition import launch as rekognition
from local_aws.seaweedfs import SeaweedFS
from local_aws.stack import environment, users
from local_aws.stack.layout import Layout, Secrets, StackError, choose_port
from local_aws.stack.lock import SERVICES_BUSY, only_one
from local_aws.stack.registry import KEPT, Entry, Registry
from moderation.variables.local_stack import COMPANION_OF_PORT, LocalStack

AIRFLOW_PARTS = ("api-server", "scheduler", "dag-processor")
"""What a run needs. Waits are synchronous in the embedded default, so the triggerer can be left out."""


class Stack:
    """The services of one checkout.

    :param owner: whose services new ones become (see ``registry``).
    :param may_move: whether a taken default port may be replaced by a free one.
    """

    def __init__(
        self, layout: Layout, *, owner: str, environ: Mapping[str, str] = os.environ, may_move: bool = False
    ) -> None:
        self.layout = layout
        self.secrets = Secrets.load(layout.var / "secrets.json")
        self.registry = Registry(layout.var / "services.json")
        self._owner = owner
        self._environ = environ
        self._may_move = may_move

    def start_aws(self) -> dict[str, str]:
        """Start S3 and Rekognition where they do not run, make the buckets, write ``.env``.

        :return: the environment that reaches them.
        :raises StackError: a port is taken.
        :raises process.ServiceError: a service did not become ready.
        """
        private_files.folder(self.layout.var)
        private_files.folder(self.layout.home)
        key = self.secrets.s3
        isolation.write_aws_files(
            self.layout.aws, access_key=key.access_key, secret_key=key.secret_key, region=environment.REGION
        )
        self.registry.stop_remnants()
        self._stop_unregistered()
        running = self.registry.entries()
        if "s3" not in running:
            port = self._port("S3_PORT", part="s3")
            environment.set_thresholds(self.layout)
            server = seaweedfs.start(self.layout.s3, self.secrets.s3, port=port)
            facts: dict[str, Any] = {
                "endpoint": server.endpoint_url,
                "leaves": [str(path) for path in server.leaves],
            }
            self.registry.add("s3", server.process.pid, owner=self._owner, facts=facts)
        s3_endpoint = str(self.registry.entries()["s3"].facts["endpoint"])
        self._make_buckets(s3_endpoint)
        if "rekognition" not in running:
            endpoint = rekognition.start(
                self.layout.var / "rekognition",
                self.secrets.s3,
                s3_endpoint,
                port=self._port("REKOGNITION_PORT", part="rekognition"),
            )
            facts = {"endpoint": endpoint.endpoint_url, "admin_token": endpoint.admin_token}
            self.registry.add("rekognition", endpoint.process.pid, owner=self._owner, facts=facts)
        found = self.aws_environment()
        shielded = environment.shielded(found, environ=self._environ)
        environment.write_env_file(self.layout.env_file, shielded)
        services = self.registry.entries()
        processes = tuple((services[name].pid, services[name].started) for name in ("s3", "rekognition"))
        LocalStack(self.layout.root, shielded, processes).write(private_files.write)
        return found

    def aws_environment(self) -> dict[str, str]:
        """Return the environment that reaches the running S3 and Rekognition.

        :raises StackError: they do not run.
        """
        running = self.registry.entries()
        if not {"s3", "rekognition"} <= running.keys():
            raise StackError("S3 and Rekognition are not running; start them with: make services")
        found = environment.aws_environment(
            self.layout,
            self.secrets,
            s3_endpoint=running["s3"].facts["endpoint"],
            rekognition_endpoint=running["rekognition"].facts["endpoint"],
        )
        return found | environment.thresholds(self.layout, self._environ)

    def start_airflow(self, *, parts: tuple[str, ...] = AIRFLOW_PARTS) -> str:
        """Start the parts of Airflow that do not run yet.

        :return: address of the Airflow page.
        :raises StackError: a port is taken, the metadata database cannot be made, or Airflow runs already and
            does not know the people that are asked for.
        """
        running = self.registry.entries()
        people = self._people()
        known = next((running[part] for part in AIRFLOW_PARTS if part in running), None)
        port = int(known.facts["port"]) if known else self._port("AIRFLOW_PORT")
        variables = self.airflow_environment(port)
        _prepare_airflow_home(self.layout, self.secrets, variables, people)
        for part in parts:
            if part not in running:
                service = process.start(
                    part,
                    _airflow_command(part),
                    log_path=self.layout.logs / f"{part}.log",
                    env=variables,
                    cwd=self.layout.var,
                )
                self.registry.add(part, service.pid, owner=self._owner, facts={"port": port, "users": people})
        return f"http://127.0.0.1:{port}"

    def airflow_environment(self, port: int) -> dict[str, str]:
        """Return the whole environment of an Airflow process of this stack."""
        return {
            **environment.inherited(self.layout, self._environ),
            **self.aws_environment(),
            **environment.airflow_environment(self.layout, self.secrets, port=port),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": users.setting(users.named(self._people())),
            **({"MODERATION_SOURCE": self._nightly_source()} if self._owner == KEPT else {}),
        }

    def _people(self) -> str:
        """Who may log in besides the admin, as the variable names them; Airflow reads them when it starts."""
        asked = self._environ.get("MODERATION_USERS", "").strip()
        page = self.registry.entries().get("api-server")
        if page is None:
            return asked
        known = str(page.facts.get("users", asked))
        if asked and self._owner == KEPT and users.named(asked) != users.named(known):
            raise StackError(
                f"Airflow runs already and knows {', '.join(users.named(known))}; for other people: "
                f"make down && {users.VARIABLE}={asked} make up"
            )
        return known

    def _nightly_source(self) -> str:
        """What the nightly run of `make up` moderates, and what its form begins with: the demo images."""
        return self._environ.get("MODERATION_SOURCE") or str(self.layout.demo_images)

    def rekognition_progress(self) -> list[dict[str, Any]]:
        """Return job id, status and images done and in all, as the offline endpoint tells them."""
        jobs: list[dict[str, Any]] = self._rekognition_local("/jobs")["jobs"]
        return jobs

    def rekognition_calls(self) -> int:
        """Return how many images were ever answered, and billed, one by one."""
        return int(self._rekognition_local("/ledger?limit=1")["totals"].get("detect_billed", 0))

    def _rekognition_local(self, path: str) -> Any:
        """Ask the local side of the offline endpoint."""
        facts = self.registry.entries()["rekognition"].facts
        request = urllib.request.Request(  # noqa: S310 - a loopback address from our own registry
            f"{facts['endpoint']}/_local{path}", headers={"Authorization": f"Bearer {facts['admin_token']}"}
        )
        with ports.open_local(request, timeout=5) as answer:
            return json.load(answer)

    def must_live(self, *parts: str) -> Callable[[], None]:
        """A check that fails as soon as one of these services has died."""

        def check() -> None:
            running = self.registry.entries()
            if gone := set(parts) - running.keys():
                kept = any(entry.owner == KEPT for entry in running.values())
                remedy = "; `make up` starts it again, and the run goes on in Airflow" if kept else ""
                raise process.ServiceError(
                    f"{', '.join(sorted(gone))} ended unexpectedly; see {self.layout.logs}{remedy}"
                )

        return check

    def airflow_url(self) -> str:
        """Address of the Airflow page, where it runs."""
        entry = self.registry.entries().get(AIRFLOW_PARTS[0])
        return f"http://127.0.0.1:{entry.facts['port']}" if entry else "the Airflow page"

    def stop(self, before: Mapping[str, Entry] | None = None) -> list[str]:
        """Stop what this owner started; returns the names.

        :param before: what ran before this owner started anything: it goes on, and is again whose it was.
        """
        with contextlib.ExitStack() as held:
            # Who holds the lock for so long hangs; what this command started must not stay for that.
            with contextlib.suppress(StackError, OSError):
                held.enter_context(only_one(self.layout.services_lock, busy=SERVICES_BUSY, wait=60.0))
            if before:
                self.registry.give_back(before)
            return self.registry.stop(owner=self._owner, spare=before or ())

    def _stop_unregistered(self) -> None:
        """Stop S3 and Rekognition that a command started which was killed before it could register them."""
        known = {entry.pid for entry in self.registry.entries().values()}
        for found in psutil.process_iter(["cmdline"]):
            with contextlib.suppress(psutil.Error, OSError):
                leads = os.getpgid(found.pid) == found.pid
                if leads and found.pid not in known and self._serves_here(found):
                    process.stop_group(found.pid, grace=SeaweedFS.STOP_GRACE_SECONDS)

    def _serves_here(self, found: psutil.Process) -> bool:
        command = found.info["cmdline"] or []
        if "local_aws.rekognition" in command:
            return str(self.layout.var / "rekognition") in command
        return "-s3.config=s3.json" in command and Path(found.cwd()) == (self.layout.var / "s3").resolve()

    def _port(self, variable: str, *, part: str | None = None) -> int:
        """The port of a part that is to be started: where those that run look for it, if it has only died."""
        lost = self.registry.lost().get(part or "")
        environ = {variable: str(urlsplit(lost.facts["endpoint"]).port)} if lost else self._environ
        offset = COMPANION_OF_PORT.get(variable, 0)
        return choose_port(variable, environ, companion_offset=offset, may_move=self._may_move)

    def _make_buckets(self, endpoint: str) -> None:
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            aws_access_key_id=self.secrets.s3.access_key,
            aws_secret_access_key=self.secrets.s3.secret_key,
            region_name=environment.REGION,
            config=Config(s3={"addressing_style": "path"}),
        )
        try:
            existing = {bucket["Name"] for bucket in client.list_buckets()["Buckets"]}
            for bucket in environment.BUCKETS:
                if bucket not in existing:
                    client.create_bucket(Bucket=bucket)
        finally:
            client.close()


def answers(url: str) -> bool:
    """Whether an HTTP GET of ``url`` is answered with 200 now."""
    try:
        with ports.open_local(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _prepare_airflow_home(layout: Layout, secrets: Secrets, variables: dict[str, str], people: str) -> None:
    """Make the metadata database once for each Airflow release, and the login file."""
    from importlib.metadata import version  # noqa: PLC0415 - 20 ms that only this path needs

    home = layout.airflow_home
    private_files.folder(home)
    users.keep_passwords(layout.passwords, users.named(people), admin=secrets.airflow_password)
    marker = home / f"migrated-{version('apache-airflow-core')}"
    if marker.exists() and (home / "airflow.db").exists():
        return
    migrate = process.start(
        "airflow db migrate",
        [_airflow_binary(), "db", "migrate"],
        log_path=layout.logs / "db-migrate.log",
        env=variables,
        cwd=layout.var,
    )
    try:
        if migrate.popen.wait(timeout=180) != 0:
            raise StackError(f"the Airflow database could not be made; see {migrate.log_path}")
    finally:
        migrate.stop()
    marker.touch()


def _airflow_command(part: str) -> list[str]:
    command = (
        [sys.executable, "-m", "moderation_airflow.machines.warm"]
        if part == "scheduler"
        else [_airflow_binary()]
    )
    # The log server of these two would listen on every interface; the API server reads the files itself.
    return [*command, part, *(["--skip-serve-logs"] if part in {"scheduler", "triggerer"} else [])]


def _airflow_binary() -> str:
    return str(Path(sys.executable).with_name("airflow"))
