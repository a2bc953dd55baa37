"""`make run`: moderate one folder of images through the real scheduler and show what came out."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws.stack import failures
from local_aws.stack.airflow_api import AirflowApi, ensure_job_pool
from local_aws.stack.layout import Layout, StackError
from local_aws.stack.progress import Progress, describe
from local_aws.stack.registry import KEPT, owner_of_this_process
from local_aws.stack.services import AIRFLOW_PARTS, Stack
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects

DAG_ID = "moderate_images"
BACKENDS = ("auto", "bulk", "detect")
RUN_TIMEOUT_SECONDS = 24 * 3600.0


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    :param images: folder with the images.
    :param min_confidence: 0 to 100.
    :param backend: ``auto``, ``bulk`` or ``detect``.
    :param redo_load_id: do again what this load could not moderate, instead of a folder.
    :param redo_permanent: then also images that were refused for their own sake.
    """

    images: Path
    min_confidence: float
    backend: str = "auto"
    redo_load_id: str | None = None
    redo_permanent: bool = False

    def conf(self) -> dict[str, Any]:
        """The params of the Dag run."""
        return {
            "source": str(self.images),
            "min_confidence": self.min_confidence,
            "backend": self.backend,
            "redo_load_id": self.redo_load_id,
            "redo_permanent": self.redo_permanent,
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, default_images: Path) -> Request:
        """Read IMAGES, MIN_CONFIDENCE, BACKEND, REDO and PERMANENT.

        :raises StackError: one of them cannot be used; the text names the variable and what is allowed.
        """
        folder = Path(environ.get("IMAGES") or default_images).expanduser().absolute()
        if not folder.is_dir():
            raise StackError(f"IMAGES={folder} is not a folder; name one that holds PNG or JPEG files")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise StackError(f"IMAGES={folder} cannot be read by this user; change its permissions")
        asked = environ.get("MIN_CONFIDENCE") or "50"
        try:
            confidence = float(asked)
        except ValueError:
            raise StackError(f"MIN_CONFIDENCE={asked} is not a number; use 0 to 100") from None
        if not 0 <= confidence <= 100:
            raise StackError(f"MIN_CONFIDENCE={asked} is out of range; use 0 to 100")
        backend = environ.get("BACKEND", "").strip() or "auto"
        if backend not in BACKENDS:
            raise StackError(f"BACKEND={backend} is unknown; use {', '.join(BACKENDS)}")
        permanent = environ.get("PERMANENT", "").strip() or "0"
        if permanent not in {"0", "1"}:
            raise StackError(f"PERMANENT={permanent} is unknown; use 1 or 0")
        return cls(folder, confidence, backend, environ.get("REDO", "").strip() or None, permanent == "1")


def run(layout: Layout, environ: Mapping[str, str]) -> int:
    """Run the pipeline once over a folder; return the exit code.

    0 only if the run succeeded and every image of the folder is accounted for. What this command started is
    stopped, whatever happens; services that `make up` started are used and left alone.

    :raises StackError: a person has to change something first.
    """
    request = Request.from_environment(environ, default_images=layout.root / "include/local_aws/demo_images")
    with _only_one(layout.var / "run.lock"), _stop_on_signal():
        stack = Stack(layout, owner=owner_of_this_process(), environ=environ, may_move=True)
        stack.registry.stop_orphans()
        progress = Progress()
        try:
            return _run_on(stack, request, progress)
        finally:
            progress.close()
            stack.stop()


def _run_on(stack: Stack, request: Request, progress: Progress) -> int:
    progress.show("start: S3 and Rekognition")
    os.environ.update(stack.start_aws())
    progress.show("start: Airflow (scheduler, DAG processor, API server)")
    url = stack.start_airflow()
    api = AirflowApi(url, user="admin", password=stack.secrets.airflow_password)
    check = _services_checker(stack)
    api.wait_healthy(check)
    api.wait_for_dag(DAG_ID, check)
    run_id = f"make_run_{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"
    ensure_job_pool(api)
    api.trigger(DAG_ID, run_id=run_id, conf=request.conf())
    state = _follow(api, stack, run_id, progress, check)
    progress.close()
    text = _report_text(api.xcom(DAG_ID, run_id, "discover"))
    if text:
        print(text)
    if state == "success":
        return 0
    print(failures.explain(stack.layout, api, DAG_ID, run_id), file=sys.stderr)
    return 1


def _follow(api: AirflowApi, stack: Stack, run_id: str, progress: Progress, check: Callable[[], None]) -> str:
    """Show the run until it ends; return its state."""
    deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
    before = {job["job_id"] for job in stack.rekognition_progress()}
    calls_before = stack.rekognition_calls()
    while (state := api.run_state(DAG_ID, run_id)) not in {"success", "failed"}:
        check()
        if time.monotonic() > deadline:
            raise StackError(f"the run {run_id} did not end within {RUN_TIMEOUT_SECONDS / 3600:.0f} hours")
        tasks = api.task_states(DAG_ID, run_id)
        jobs = [job for job in stack.rekognition_progress() if job["job_id"] not in before]
        calls = stack.rekognition_calls() - calls_before
        progress.show(describe(tasks, jobs, len(tasks.get("analyse", [])) or None, calls))
        time.sleep(0.5)
    return state


def _services_checker(stack: Stack) -> Callable[[], None]:
    """Return a check that fails as soon as a service of the stack has died."""
    needed = {"s3", "rekognition", *AIRFLOW_PARTS}

    def check() -> None:
        gone = needed - stack.registry.entries().keys()
        if gone:
            kept = any(entry.owner == KEPT for entry in stack.registry.entries().values())
            remedy = "; `make up` starts it again, and the run goes on in Airflow" if kept else ""
            raise StackError(f"{', '.join(sorted(gone))} ended unexpectedly; see {stack.layout.logs}{remedy}")

    return check


def _report_text(plan_uri: Any) -> str | None:
    """The report that the run left beside its plan; None when it did not come that far."""
    if not isinstance(plan_uri, str):
        return None
    with s3_objects.open_client(Settings.from_env()) as client:
        uri = load_plan(plan_uri, s3=client).report_uri
        return s3_objects.read_text(client, uri) if s3_objects.exists(client, uri) else None


@contextlib.contextmanager
def _only_one(lock: Path) -> Iterator[None]:
    """Hold the lock of this checkout.

    :raises StackError: another run holds it.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise StackError(
                f"another make run is in progress here (process {handle.read().strip() or 'unknown'}); "
                "wait for it, or use a second checkout"
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[None]:
    """Turn SIGTERM and SIGHUP into KeyboardInterrupt, so that what was started is stopped."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
