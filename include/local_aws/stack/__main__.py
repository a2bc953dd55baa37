"""Commands behind the Makefile: run, up, services, down, status."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.error import URLError

from local_aws.process import ServiceError
from local_aws.stack import run as run_command
from local_aws.stack.airflow_api import AirflowApi, ensure_job_pool, refusal
from local_aws.stack.layout import Layout, StackError
from local_aws.stack.registry import KEPT, Registry
from local_aws.stack.services import AIRFLOW_PARTS, Stack

FOREIGN_IDENTITY = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN")
"""A person's own AWS identity, which the local services neither need nor should see."""

ROOT = Path(__file__).resolve().parents[3]


def up(layout: Layout) -> int:
    """Start everything and leave it running."""
    stack = Stack(layout, owner=KEPT)
    stack.registry.stop_orphans()
    before = stack.registry.entries().keys()
    try:
        stack.start_aws()
        url = stack.start_airflow(parts=(*AIRFLOW_PARTS, "triggerer"))
        api = AirflowApi(url, user="admin", password=stack.secrets.airflow_password)
        api.wait_healthy(lambda: None)
        ensure_job_pool(api)
    except BaseException:
        if not before:
            stack.stop()
        raise
    print(f"Airflow:     {url}   (user admin, password {stack.secrets.airflow_password})")
    _print_aws(stack)
    return 0


def services(layout: Layout) -> int:
    """Start S3 and Rekognition and leave them running."""
    stack = Stack(layout, owner=KEPT)
    stack.registry.stop_orphans()
    stack.start_aws()
    _print_aws(stack)
    return 0


def down(layout: Layout) -> int:
    """Stop what up and services started, and nothing else."""
    stopped = Registry(layout.var / "services.json").stop(owner=KEPT)
    print(f"Stopped: {', '.join(stopped)}" if stopped else "Nothing of this checkout was running.")
    return 0


def status(layout: Layout) -> int:
    """Say what runs, since when it is known, and where it answers."""
    entries = Registry(layout.var / "services.json").entries()
    for name, entry in entries.items():
        where = entry.facts.get("endpoint") or f"port {entry.facts.get('port')}"
        print(f"{name:<14} process {entry.pid:<8} {where}")
    if not entries:
        print("Nothing of this checkout is running.")
    return 0


def _print_aws(stack: Stack) -> None:
    environment = stack.aws_environment()
    print(f"S3:          {environment['AWS_ENDPOINT_URL_S3']}")
    print(f"Rekognition: {environment['AWS_ENDPOINT_URL_REKOGNITION']}")
    print(f"For any AWS SDK or the AWS CLI:  set -a; . {stack.layout.env_file}; set +a")


def main(arguments: list[str]) -> int:
    """Run one command; errors that a person can mend are one line on standard error.

    :param arguments: the command and, if it is not the checkout of this file, the checkout to work in.
    """
    command, layout = arguments[:1], Layout(Path(*arguments[1:2]) if arguments[1:] else ROOT)
    for name in FOREIGN_IDENTITY:
        os.environ.pop(name, None)
    commands = {
        "run": lambda: run_command.run(layout, os.environ),
        "up": lambda: up(layout),
        "services": lambda: services(layout),
        "down": lambda: down(layout),
        "status": lambda: status(layout),
    }
    if len(arguments) > 2 or not command or command[0] not in commands:
        print(f"usage: python -m local_aws.stack {'|'.join(commands)} [CHECKOUT]", file=sys.stderr)
        return 2
    try:
        return commands[command[0]]()
    except (StackError, ServiceError) as error:
        print(f"make {arguments[0]}: {error}", file=sys.stderr)
        return 1
    except URLError as error:
        print(f"make {arguments[0]}: {refusal(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"make {arguments[0]}: interrupted; what it started is stopped", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
