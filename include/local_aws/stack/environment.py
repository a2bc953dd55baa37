"""The environment variables of the embedded default: what any AWS SDK reads, and what Airflow reads."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from local_aws.stack.layout import Layout, Secrets

REGION = "us-east-1"
JOB_POOL = "rekognition_jobs"
BUCKETS = ("moderation-input", "moderation-work", "moderation-tables")


def aws_environment(
    layout: Layout, secrets: Secrets, *, s3_endpoint: str, rekognition_endpoint: str
) -> dict[str, str]:
    """Return what an AWS SDK, the AWS CLI and the ``moderation`` command need to reach the local services."""
    return {
        "AWS_ACCESS_KEY_ID": secrets.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": secrets.s3.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ENDPOINT_URL_REKOGNITION": rekognition_endpoint,
        "MODERATION_INPUT_URI": f"s3://{BUCKETS[0]}",
        "MODERATION_WORK_URI": f"s3://{BUCKETS[1]}",
        "MODERATION_TABLES_URI": f"s3://{BUCKETS[2]}",
        "MODERATION_CATALOG_URI": f"sqlite:///{layout.var / 'catalog.db'}",
        "MODERATION_WAREHOUSE": str(layout.warehouse),
        "MODERATION_PARQUET_DIR": str(layout.parquet),
        "MODERATION_REPORT_DIR": str(layout.var / "report"),
        "MODERATION_COMMAND": ".venv/bin/moderation",
        "MODERATION_REDO_COMMAND": "make run REDO={load_id} PERMANENT={permanent}",
        "MODERATION_MODEL": "offline-1.0",
        "MODERATION_POLL_SECONDS": "1",
    }


def airflow_environment(layout: Layout, secrets: Secrets, *, port: int) -> dict[str, str]:
    """Return Airflow's settings for SQLite, LocalExecutor and two cores, all on loopback."""
    return {
        "AIRFLOW_HOME": str(layout.airflow_home),
        # All of Airflow writes one SQLite file; its default wait for a lock, 5 s, fails on a busy disk.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{layout.airflow_home / 'airflow.db'}?timeout=30",
        "MODERATION_JOB_POOL": JOB_POOL,
        "OPENBLAS_NUM_THREADS": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",  # Airflow may import Arrow before our code can choose
        "PYTHONPATH": os.pathsep.join(str(layout.root / folder) for folder in ("include", "plugins")),
        "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws", "extra": {"region_name": REGION}}),
        "AIRFLOW__CORE__DAGS_FOLDER": str(layout.root / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(layout.root / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
        "AIRFLOW__CORE__PARALLELISM": "4",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "AIRFLOW__CORE__FERNET_KEY": secrets.fernet_key,
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "admin:admin",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__WORKERS": "1",
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__API_AUTH__JWT_SECRET": secrets.jwt_secret,
        # A killed scheduler's tasks are picked up within a minute, not after five. With a shorter threshold
        # a scheduler that busy cores held up takes itself for dead and starts its running tasks once more.
        "AIRFLOW__SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "15",
        "AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "30",
        # So is that of a killed worker; longer than an API server takes to be started again.
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "120",
        "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK": "False",
        "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(layout.airflow_home / "logs"),
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "NO_PROXY": _with_loopback(os.environ.get("NO_PROXY", "")),
        "no_proxy": _with_loopback(os.environ.get("no_proxy", "")),
    }


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what Airflow's processes take over from the person who starts them.

    The Airflow and the AWS account that a person's shell is set to stay out; settings of the pipeline, and
    what alerts and metrics need of Airflow, come in, unless the stack sets them itself.
    """
    wanted = ("AIRFLOW_CONN_", "AIRFLOW__METRICS__")
    foreign = ("AIRFLOW", "AWS_")
    return {
        name: value
        for name, value in environ.items()
        # A single run has no schedule: who keeps the stack running sets the nightly source.
        if name != "MODERATION_SOURCE" and (name.startswith(wanted) or not name.startswith(foreign))
    }


def write_env_file(path: Path, environment: Mapping[str, str]) -> None:
    """Write ``environment`` so that ``set -a; . ./.env`` takes it over; readable by the owner only."""
    staged = path.with_name(f"{path.name}.{os.getpid()}")
    staged.touch(mode=0o600)
    staged.write_text("".join(f"{name}={shlex.quote(value)}\n" for name, value in environment.items()))
    staged.replace(path)


def _with_loopback(value: str) -> str:
    hosts = [host for host in value.split(",") if host]
    return ",".join([*hosts, *(host for host in ("127.0.0.1", "localhost") if host not in hosts)])
