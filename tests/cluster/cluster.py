"""The hosts of the compose file, started as it says."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from cluster.composed import Composed
from cluster.hosts import Host
from cluster.servers import INPUT, TABLES, WORK, Servers
from local_aws import ports
from local_aws.stack.airflow_api import AirflowApi
from support.hash_moderator import MODEL_VERSION

ONES = ("api-server", "dag-processor", "scheduler", "triggerer")
WORKERS = ("worker-1", "worker-2")
_START_SECONDS = 600
_SMALL = "        stages.PlanRequest = functools.partial(stages.PlanRequest, max_lines={lines})\n"
_BEFORE = "        run = stages.Run("


class Cluster:
    """Hosts that share the servers, and no disk.

    :param root: a folder for theirs.
    :param machine: makes a host by its name.
    :param jobs: bulk jobs at once, as many as the pool has slots.
    """

    def __init__(self, root: Path, servers: Servers, *, machine: Callable[[str], Host], jobs: int) -> None:
        self._root, self._servers, self._host, self._jobs = root, servers, machine, jobs
        self._port, self._health_port = ports.find_free(), ports.find_free()
        self.url = f"http://127.0.0.1:{self._port}"
        self.password = secrets.token_hex(12)
        self._composed = Composed(self._variables(), self._addresses())
        self.hosts = {name: self._host(name) for name in (*ONES, *WORKERS)}

    def start(self) -> AirflowApi:
        """Make the databases, start all hosts, and wait until Airflow is healthy."""
        init = self._host("airflow-init")
        environment = self._environment("airflow-init")
        init.run(self._composed.command("airflow-init"), environment, timeout=_START_SECONDS)
        init.release()
        for name in self.hosts:
            self.start_host(name)
        api = AirflowApi(self.url, user="admin", password=self.password)
        api.wait_healthy(self.look, timeout=_START_SECONDS)
        return api

    def start_host(self, name: str) -> None:
        """Start what a host is there for."""
        service = "worker" if name in WORKERS else name
        extra = ["--skip-serve-logs"] if name in {"triggerer", *WORKERS} else []
        self.hosts[name].start([*self._composed.command(service), *extra], self._environment(service))

    def replace_host(self, name: str) -> None:
        """A new machine in place of a dead one: nothing of its disk is left."""
        self.hosts[name].remove()
        self.hosts[name] = self._host(name)
        self.start_host(name)

    def look(self) -> None:
        """Raise when a host's process has ended by itself."""
        dead = [name for name, host in self.hosts.items() if not host.alive()]
        if dead:
            raise AssertionError(f"{', '.join(dead)} ended by itself; see {self._root / 'logs'}")

    def stop(self) -> None:
        """Stop all that runs."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(Host.stop, self.hosts.values()))
        for host in self.hosts.values():
            host.release()

    def _environment(self, service: str) -> Mapping[str, str]:
        return {
            **self._composed.environment(service),
            **self._servers.environment(),
            # Loopback only, where a container has a network of its own.
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__API__PORT": str(self._port),
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST": "127.0.0.1",
            "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_PORT": str(self._health_port),
            "AIRFLOW__METRICS__STATSD_ON": "False",
            "MODERATION_MODEL": MODEL_VERSION,
            "MODERATION_POLL_SECONDS": "5",
        }

    def _variables(self) -> dict[str, str]:
        passwords = self._servers.passwords
        return {
            "MODERATION_IMAGE": "none",
            "AIRFLOW_URL": self.url,
            "AWS_REGION": "us-east-1",
            "LOGS_URI": f"s3://{WORK}/airflow-logs",
            "MODERATION_INPUT_URI": f"s3://{INPUT}",
            "MODERATION_WORK_URI": f"s3://{WORK}",
            "MODERATION_TABLES_URI": f"s3://{TABLES}",
            "BULK_JOBS": str(self._jobs),
            "AIRFLOW_DB_PASSWORD": passwords["airflow"],
            "MODERATION_DB_PASSWORD": passwords["moderation"],
            "REDIS_PASSWORD": self._servers.redis.password,
            "AIRFLOW_API_SECRET_KEY": secrets.token_hex(24),
            "AIRFLOW_JWT_SECRET": secrets.token_hex(32),
            "AIRFLOW_ADMIN_PASSWORD": self.password,
            "AIRFLOW_FERNET_KEY": base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(),
        }

    def _addresses(self) -> dict[str, str]:
        postgres = self._servers.postgres.port
        return {
            "@postgres/": f"@127.0.0.1:{postgres}/",
            '"host": "postgres"': f'"host": "127.0.0.1", "port": {json.dumps(postgres)}',
            "@redis:6379": f"@127.0.0.1:{self._servers.redis.port}",
            "http://api-server:8080": self.url,
            "/opt/airflow/console": "console",
        }


def with_small_manifests(host: Host, lines: int) -> Host:
    """Have a host plan so many images a manifest: the one thing that is not as the product has it."""
    dag = host.folder / "dags" / "moderate_images.py"
    text = dag.read_text()
    assert text.count(_BEFORE) == 1
    text = text.replace(_BEFORE, _SMALL.format(lines=lines) + _BEFORE)
    first = "from datetime import UTC, datetime, timedelta\n"
    dag.write_text(text.replace(first, f"import functools\n{first}"))
    return host


@contextmanager
def running(
    root: Path, servers: Servers, *, machine: Callable[[str], Host], jobs: int
) -> Iterator[tuple[Cluster, AirflowApi]]:
    """Run the hosts; nothing is left of them."""
    cluster = Cluster(root, servers, machine=machine, jobs=jobs)
    try:
        yield cluster, cluster.start()
    finally:
        cluster.stop()
