"""Commands behind the Makefile: run, up, services, down, status."""

from __future__ import annotations

import os
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from local_aws import private_files
from local_aws.stack import environment, trouble, users
from local_aws.stack.airflow_api import AirflowApi, ensure_job_pool
from local_aws.stack.layout import Layout
from local_aws.stack.lock import SERVICES_BUSY, only_one
from local_aws.stack.registry import KEPT, Entry, Registry
from local_aws.stack.services import AIRFLOW_PARTS, Stack

ROOT = Path(__file__).resolve().parents[3]


def run(layout: Layout, environ: Mapping[str, str]) -> int:
    """Moderate a folder of images from start to end."""
    from local_aws.stack.run import run  # noqa: PLC0415 - 0.3 s for Arrow and DuckDB, which no other command needs

    return run(layout, environ)


def up(layout: Layout, environ: Mapping[str, str]) -> int:
    """Start everything and leave it running, also what a run in progress has started."""
    environment.enter(layout, environ)
    stack = Stack(layout, owner=KEPT, environ=environ)
    with _starting(stack) as before:
        stack.start_aws()
        print("Starting Airflow, which takes a minute ...", file=sys.stderr)
        url = stack.start_airflow(parts=(*AIRFLOW_PARTS, "triggerer"))
        stack.registry.hand_over()
    try:
        api = AirflowApi(url, user="admin", password=stack.secrets.airflow_password)
        api.wait_healthy(stack.must_live(*AIRFLOW_PARTS))
        ensure_job_pool(api)
    except BaseException:
        stack.stop(before)
        raise
    print(f"Airflow:     {url}   (user admin, password {stack.secrets.airflow_password})")
    for name, password in users.passwords(layout.passwords).items():
        if name != users.ADMIN:
            print(f"             user {name}, password {password}")
    print(f"Console:     {url}/moderation/   (the same login)")
    _print_aws(stack)
    return 0


def services(layout: Layout, environ: Mapping[str, str]) -> int:
    """Start S3 and Rekognition and leave them running, also those that a run in progress has started."""
    environment.enter(layout, environ)
    stack = Stack(layout, owner=KEPT, environ=environ)
    with _starting(stack):
        stack.start_aws()
        stack.registry.hand_over("s3", "rekognition")
    _print_aws(stack)
    return 0


def down(layout: Layout) -> int:
    """Stop what up and services started, and what a killed run left, and nothing else."""
    stopped = []
    if layout.var.exists():
        with only_one(layout.services_lock, busy=SERVICES_BUSY, wait=60.0):
            registry = Registry(layout.var / "services.json")
            stopped = [*registry.stop(owner=KEPT), *registry.stop_orphans()]
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


@contextmanager
def _starting(stack: Stack) -> Iterator[dict[str, Entry]]:
    """Let no other command start or stop services meanwhile; the value is what was running before.

    What a block that fails has started is stopped.
    """
    before: dict[str, Entry] | None = None
    try:
        with only_one(stack.layout.services_lock, busy=SERVICES_BUSY):
            stack.registry.stop_orphans()
            before = stack.registry.entries()
            yield before
    except BaseException:
        if before is not None:
            stack.stop(before)
        raise


def _print_aws(stack: Stack) -> None:
    environment = stack.aws_environment()
    print(f"S3:          {environment['AWS_ENDPOINT_URL_S3']}")
    print(f"Rekognition: {environment['AWS_ENDPOINT_URL_REKOGNITION']}")
    print(f"For any AWS SDK or the AWS CLI:  set -a; . {shlex.quote(str(stack.layout.env_file))}; set +a")


def main(arguments: list[str]) -> int:
    """Run one command; errors that a person can mend are one line on standard error.

    :param arguments: the command and, if it is not the checkout of this file, the checkout to work in.
    """
    layout = Layout(Path(*arguments[1:2]).absolute() if arguments[1:] else ROOT)
    environ = dict(os.environ)
    commands = {
        "run": lambda: run(layout, environ),
        "up": lambda: up(layout, environ),
        "services": lambda: services(layout, environ),
        "down": lambda: down(layout),
        "status": lambda: status(layout),
    }
    if not 1 <= len(arguments) <= 2 or arguments[0] not in commands:
        print(f"usage: python -m local_aws.stack {'|'.join(commands)} [CHECKOUT]", file=sys.stderr)
        return 2
    try:
        return commands[arguments[0]]()
    except KeyboardInterrupt:
        print(f"make {arguments[0]}: interrupted; {_left(layout)}", file=sys.stderr)
        return 130
    except Exception as error:
        line = trouble.explain(error, var=layout.var) or _unexpected(error, layout, arguments[0])
        print(f"make {arguments[0]}: {line}", file=sys.stderr)
        return 1


def _left(layout: Layout) -> str:
    """What an interrupted command has left running."""
    if not (left := Registry(layout.var / "services.json").entries()):
        return "what it started is stopped"
    begun = ", and so does a run that had begun in Airflow" if "scheduler" in left else ""
    return f"what other commands keep goes on ({', '.join(left)}){begun}; all of it ends with: make down"


def _unexpected(error: Exception, layout: Layout, command: str) -> str:
    """Keep the traceback of a fault where it can be looked at; say the rest in one line."""
    text = "".join(traceback.format_exception(error))
    kept = layout.logs / f"make-{command}-{int(time.time())}.txt"
    try:
        private_files.folder(kept.parent)
        private_files.write(kept, text)
    except OSError:
        return text
    said = " ".join(str(error).split())
    return f"{type(error).__name__}: {said}; this is a fault of the program, its traceback is in {kept}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
