"""The environment variables of the embedded default: what any AWS SDK reads, and what Airflow reads.

Every process of the stack gets its whole environment from here. What the person who starts it has set passes
by :func:`inherited` or not at all.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from local_aws import isolation, private_files
from local_aws.stack.layout import Layout, Secrets

REGION = "us-east-1"
JOB_POOL = "rekognition_jobs"
BUCKETS = ("moderation-input", "moderation-work", "moderation-tables")

ASKED = "5"
"""MinConfidence of a new installation, whose thresholds show from 50 on: both cost the same."""
_THRESHOLDS = """\
# From which confidence on (percent) a label counts as found; docs/console.md has the form of this file.
version = "1"
default = 50
"""
_INHERITED_NAMES = {"CXX"}  # compiles the fast parser
_INHERITED_PREFIXES = ("MODERATION_", "AIRFLOW_CONN_", "AIRFLOW__METRICS__", "PG")
_SERVICES_ELSEWHERE = ("GLUE", "SERVICE_QUOTAS", "SNS", "STS")


def aws_environment(
    layout: Layout, secrets: Secrets, *, s3_endpoint: str, rekognition_endpoint: str
) -> dict[str, str]:
    """Return what an AWS SDK, the AWS CLI and the ``moderation`` command need to reach the local services.

    A service that is not here is asked of the offline Rekognition, which refuses it: never of AWS.
    """
    return {
        **isolation.aws_files(layout.aws),
        "AWS_ACCESS_KEY_ID": secrets.s3.access_key,
        "AWS_SECRET_ACCESS_KEY": secrets.s3.secret_key,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": rekognition_endpoint,
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ENDPOINT_URL_REKOGNITION": rekognition_endpoint,
        "MODERATION_INPUT_URI": f"s3://{BUCKETS[0]}",
        "MODERATION_WORK_URI": f"s3://{BUCKETS[1]}",
        "MODERATION_TABLES_URI": f"s3://{BUCKETS[2]}",
        "MODERATION_CATALOG_URI": _sqlite(layout.var / "catalog.db"),
        "MODERATION_WAREHOUSE": str(layout.warehouse),
        "MODERATION_REVIEW_DB": str(layout.var / "review.db"),
        "MODERATION_PARQUET_DIR": str(layout.parquet),
        "MODERATION_CONSOLE_CACHE": str(layout.var / "console"),
        "MODERATION_REPORT_DIR": str(layout.var / "report"),
        # Told so, it works in a shell that has variables of another account, too.
        "MODERATION_COMMAND": ".venv/bin/moderation --local",
        "MODERATION_REDO_COMMAND": "make run REDO={load_id} PERMANENT={permanent}",
        "MODERATION_MODEL": "offline-1.0",
        "MODERATION_POLL_SECONDS": "1",
    }


def set_thresholds(layout: Layout) -> None:
    """Give a new installation its thresholds; one that has moderated before goes on as it did.

    :raises OSError: the file cannot be written.
    """
    if not any(place.exists() for place in (layout.thresholds, layout.s3, layout.var / "catalog.db")):
        private_files.write(layout.thresholds, _THRESHOLDS)


def thresholds(layout: Layout, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a run asks and from where on it shows, where the installation has a file of thresholds.

    :param environ: of who starts the services; what it says of either comes first.
    """
    if not layout.thresholds.is_file():
        return {}
    own = {"MODERATION_MIN_CONFIDENCE": ASKED, "MODERATION_THRESHOLDS": str(layout.thresholds)}
    return {name: environ.get(name, "").strip() or value for name, value in own.items()}


def airflow_environment(layout: Layout, secrets: Secrets, *, port: int) -> dict[str, str]:
    """Return Airflow's settings for SQLite, LocalExecutor and two cores, all on loopback."""
    return {
        "AIRFLOW_HOME": str(layout.airflow_home),
        # All of Airflow writes one SQLite file; its default wait for a lock, 5 s, fails on a busy disk.
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": _sqlite(layout.airflow_home / "airflow.db", timeout=30),
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
        # Airflow's own: it reads .airflowignore by a name that its library has renamed.
        "PYTHONWARNINGS": "ignore:GitWildMatchPattern",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FOLDER_PERMISSIONS": "0o700",
        "AIRFLOW__LOGGING__FILE_TASK_HANDLER_NEW_FILE_PERMISSIONS": "0o600",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
    }


def _sqlite(path: Path, **options: int) -> str:
    """The database's address, in which SQLAlchemy takes a percent sign of the path for an escape."""
    text = f"sqlite:///{quote(str(path))}"
    return f"{text}?{urlencode(options)}" if options else text


def inherited(layout: Layout, environ: Mapping[str, str]) -> dict[str, str]:
    """Return what the processes of the stack take over from the person who starts them.

    That is what any program needs, settings of the pipeline, and what alerts, metrics and warehouses need.
    The rest, and the person's home, stay out. Settings that the stack makes itself are to be put over these.
    """
    kept = isolation.selected(environ, names=_INHERITED_NAMES, prefixes=_INHERITED_PREFIXES)
    # A single run has no schedule: who keeps the stack running sets the nightly source.
    kept.pop("MODERATION_SOURCE", None)
    passwords = Path(environ.get("HOME", "")) / ".pgpass"
    if "HOME" in environ and "PGPASSFILE" not in environ and passwords.exists():
        kept["PGPASSFILE"] = str(passwords)
    return {
        **isolation.system_environment(environ),
        **kept,
        **isolation.home(layout.home),
        **isolation.LOCAL_ONLY,
        "PYTHONNOUSERSITE": "1",
    }


def enter(layout: Layout, environ: Mapping[str, str]) -> None:
    """Cut this process off from the person's shell and home, and close ``var`` to everybody else.

    :raises StackError: the folder of the checkout cannot be used.
    :raises OSError: ``var`` cannot be made.
    """
    layout.check()
    os.umask(private_files.UMASK)
    private_files.folder(layout.var)
    isolation.replace(inherited(layout, environ))
    private_files.folder(layout.home)


def shielded(environment: Mapping[str, str], *, environ: Mapping[str, str]) -> dict[str, str]:
    """Return ``environment`` with all that undoes what a shell may have exported against it.

    :param environ: that of who starts the services; proxies stay as they are, except for this machine.
    """
    return {
        **isolation.AWS_SETTINGS,
        **environment,
        **{f"AWS_ENDPOINT_URL_{name}": environment["AWS_ENDPOINT_URL"] for name in _SERVICES_ELSEWHERE},
        **{name: isolation.with_loopback(environ.get(name, "")) for name in ("NO_PROXY", "no_proxy")},
    }


def write_env_file(path: Path, environment: Mapping[str, str]) -> None:
    """Write ``environment`` so that ``set -a; . ./.env`` takes it over; readable by the owner only.

    No variable needs to be unset: the file can also be read by what knows only ``NAME=value``.
    """
    lines = (f"{name}={shlex.quote(value) if value else ''}\n" for name, value in environment.items())
    private_files.write(path, "".join(lines))
