"""`make run`: moderate one folder of images through the real scheduler and show what came out."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_aws import known_loads
from local_aws.stack import environment, failures, trouble
from local_aws.stack.airflow_api import AirflowApi, ensure_job_pool
from local_aws.stack.layout import Layout, StackError
from local_aws.stack.lock import RUN_BUSY, SERVICES_BUSY, only_one
from local_aws.stack.progress import Planned, Progress, describe
from local_aws.stack.registry import owner_of_this_process
from local_aws.stack.services import AIRFLOW_PARTS, Stack
from local_aws.stack.watching import NoAnswer, Patience
from moderation.errors import DefectError, NeedsAPersonError
from moderation.plan import claims
from moderation.plan.plan import Plan
from moderation.plan.store import load_plan
from moderation.settings import Settings
from moderation.storage import s3_objects

DAG_ID = "moderate_images"
BACKENDS = ("auto", "bulk", "detect")
LOOK_SECONDS = 1.0
"""A look takes processor time of the API server, which the run lacks where there are two cores."""
RUN_TIMEOUT_SECONDS = 24 * 3600.0


class StillRunning(StackError):
    """Nobody could look at the run any more; it may be under way, and what it needs is left running."""


@dataclass(frozen=True)
class Request:
    """What a person asked for.

    :param images: folder with the images.
    :param min_confidence: 0 to 100; None: the installation's.
    :param backend: ``auto``, ``bulk`` or ``detect``.
    :param adapter: ARN of an adapter, ``champion`` for the one that was promoted; None: the base model.
    :param redo_load_id: do again what this load could not moderate, instead of a folder.
    :param redo_permanent: then also images that were refused for their own sake.
    """

    images: Path
    min_confidence: float | None
    backend: str = "auto"
    redo_load_id: str | None = None
    redo_permanent: bool = False
    adapter: str | None = None

    def conf(self) -> dict[str, Any]:
        """The params of the Dag run."""
        return {
            "source": str(self.images),
            "min_confidence": self.min_confidence,
            "backend": self.backend,
            "redo_load_id": self.redo_load_id,
            "redo_permanent": self.redo_permanent,
            "adapter": self.adapter,
        }

    @classmethod
    def from_environment(cls, environ: Mapping[str, str], *, default_images: Path) -> Request:
        """Read IMAGES, MIN_CONFIDENCE, BACKEND, REDO, PERMANENT and ADAPTER.

        :raises StackError: one of them cannot be used; the text names the variable and what is allowed.
        """
        folder = Path(environ.get("IMAGES") or default_images).expanduser().absolute()
        if not folder.is_dir():
            raise StackError(f"IMAGES={folder} is not a folder; name one that holds PNG or JPEG files")
        if not os.access(folder, os.R_OK | os.X_OK):
            raise StackError(f"IMAGES={folder} cannot be read by this user; change its permissions")
        asked = environ.get("MIN_CONFIDENCE", "").strip()
        try:
            confidence = float(asked) if asked else None
        except ValueError:
            raise StackError(f"MIN_CONFIDENCE={asked} is not a number; use 0 to 100") from None
        if confidence is not None and not 0 <= confidence <= 100:
            raise StackError(f"MIN_CONFIDENCE={asked} is out of range; use 0 to 100")
        backend = environ.get("BACKEND", "").strip() or "auto"
        if backend not in BACKENDS:
            raise StackError(f"BACKEND={backend} is unknown; use {', '.join(BACKENDS)}")
        permanent = environ.get("PERMANENT", "").strip() or "0"
        if permanent not in {"0", "1"}:
            raise StackError(f"PERMANENT={permanent} is unknown; use 1 or 0")
        redo = environ.get("REDO", "").strip() or None
        if permanent == "1" and redo is None:
            raise StackError("PERMANENT=1 goes with a load to do again: make run REDO=LOAD_ID PERMANENT=1")
        adapter = environ.get("ADAPTER", "").strip() or None
        if adapter and adapter != "champion" and not adapter.startswith("arn:"):
            raise StackError(f"ADAPTER={adapter} is unknown; use champion, or the ARN of an adapter version")
        return cls(folder, confidence, backend, redo, permanent == "1", adapter)


def run(layout: Layout, environ: Mapping[str, str]) -> int:
    """Run the pipeline once over a folder; return the exit code.

    0 only if the run succeeded and every image of the folder is accounted for. What this command started is
    stopped, whatever happens, unless a run may still be under way that nobody could look at; services that
    `make up` started are used and left alone.

    :raises StackError: a person has to change something first.
    """
    request = Request.from_environment(environ, default_images=layout.demo_images)
    _check_redo(layout, request)
    environment.enter(layout, environ)
    with only_one(layout.run_lock, busy=RUN_BUSY), _stop_on_signal():
        stack = Stack(layout, owner=owner_of_this_process(), environ=environ, may_move=True)
        progress = Progress()
        try:
            return _run_on(stack, request, progress)
        except StillRunning as error:
            stack.registry.hand_over()
            raise StillRunning(
                f"{error}; the services stay up for the run that may be under way: look at "
                f"{stack.airflow_url()} (user admin, password {stack.secrets.airflow_password}), "
                f"see {layout.logs}, and end all with: make down"
            ) from error
        finally:
            progress.close()
            stack.stop()


def _check_redo(layout: Layout, request: Request) -> None:
    """Refuse a load that is not there before anything is started for it."""
    if request.redo_load_id is None:
        return
    reports = layout.var / "report/completion"
    if why := known_loads.why_unknown(request.redo_load_id, warehouse=layout.warehouse, reports=reports):
        raise StackError(f"REDO={request.redo_load_id} {why}")


def _run_on(stack: Stack, request: Request, progress: Progress) -> int:
    with only_one(stack.layout.services_lock, busy=SERVICES_BUSY):
        stack.registry.stop_orphans()
        progress.show("start: S3 and Rekognition")
        os.environ.update(stack.start_aws())
        progress.show("start: Airflow (scheduler, DAG processor, API server)")
        url = stack.start_airflow()
    api = AirflowApi(url, user="admin", password=stack.secrets.airflow_password)
    check = stack.must_live("s3", "rekognition", *AIRFLOW_PARTS)
    api.wait_healthy(check)
    api.wait_for_dag(DAG_ID, check)
    ensure_job_pool(api)
    run_id = f"make_run_{datetime.now(UTC):%Y%m%dT%H%M%S}_{uuid.uuid4().hex[:6]}"
    patience = Patience(show=progress.show, check=check)
    watch = _Watch(api, stack, run_id, progress, patience)
    try:
        patience.look("Airflow", lambda: api.trigger(DAG_ID, run_id=run_id, conf=request.conf()))
        state = watch.follow()
        plan_uri = patience.look("Airflow", lambda: api.xcom(DAG_ID, run_id, "discover"))
    except NoAnswer as error:
        raise StillRunning(str(error)) from error
    progress.close()
    plan, text = _outcome(plan_uri)
    if text:
        print(text)
    if state != "success":
        why: str | None = patience.look(
            "Airflow", lambda: failures.explain(stack.layout, api, DAG_ID, run_id)
        )
    else:
        why = patience.look("Airflow", lambda: _left_to_others(plan, api))
    if why:
        print(*filter(None, [why, trouble.shortage(stack.layout.var)]), sep="\n", file=sys.stderr)
    return 1 if why else 0


class _Watch:
    """What is seen of one run while it is under way.

    Made before the run begins, so that jobs and calls of earlier runs are not taken for its own.
    """

    def __init__(
        self, api: AirflowApi, stack: Stack, run_id: str, progress: Progress, patience: Patience
    ) -> None:
        self._api, self._stack, self._run_id = api, stack, run_id
        self._progress, self._patience = progress, patience
        jobs, self._calls_before = patience.look("Rekognition", self._rekognition)
        self._jobs_before = {job["job_id"] for job in jobs}
        self._lines: dict[str, int] = {}
        self._asked: dict[str, list[str]] = {}

    def follow(self) -> str:
        """Show the run until it ends; return its state."""
        deadline = time.monotonic() + RUN_TIMEOUT_SECONDS
        while (state := self._state()) not in {"success", "failed"}:
            if time.monotonic() > deadline:
                hours = RUN_TIMEOUT_SECONDS / 3600
                raise NoAnswer(f"the run {self._run_id} did not end within {hours:.0f} hours")
            self._show()
            time.sleep(LOOK_SECONDS)
        return state

    def _state(self) -> str:
        state = self._patience.look("Airflow", lambda: self._api.run_state(DAG_ID, self._run_id))
        self._patience.check()
        return state

    def _show(self) -> None:
        tasks = self._patience.look("Airflow", lambda: self._api.task_states(DAG_ID, self._run_id))
        jobs, calls = self._patience.look("Rekognition", self._rekognition)
        ours = [job for job in jobs if job["job_id"] not in self._jobs_before]
        planned = self._planned(tasks)
        self._progress.show(*describe(tasks, ours, planned, calls - self._calls_before))

    def _planned(self, tasks: Mapping[str, list[str]]) -> Planned | None:
        """What the plan asks for, read once, when it is there."""
        for task_id in ("plan", "single_calls"):
            if tasks.get(task_id) == ["success"] and task_id not in self._asked:
                arguments = self._xcom(task_id) or []
                self._asked[task_id] = [argument["input_uri"] for argument in arguments]
        if "plan" not in self._asked:
            return None
        if not self._lines:
            uri = self._xcom("discover")
            self._patience.look("S3", lambda: self._read_lines(uri))
        jobs, calls = self._asked["plan"], self._asked.get("single_calls", [])
        return Planned(
            jobs=len(jobs),
            by_jobs=sum(self._lines.get(uri, 0) for uri in jobs),
            by_calls=sum(self._lines.get(uri, 0) for uri in calls),
        )

    def _xcom(self, task_id: str) -> Any:
        return self._patience.look("Airflow", lambda: self._api.xcom(DAG_ID, self._run_id, task_id))

    def _read_lines(self, plan_uri: str) -> None:
        # A plan that cannot be used stops the run, not those who look at it.
        with (
            contextlib.suppress(NeedsAPersonError, DefectError),
            s3_objects.open_client(Settings.from_env()) as client,
        ):
            plan = load_plan(plan_uri, s3=client)
            self._lines = {manifest.uri: manifest.lines for manifest in plan.manifests}

    def _rekognition(self) -> tuple[list[dict[str, Any]], int]:
        return self._stack.rekognition_progress(), self._stack.rekognition_calls()


def _left_to_others(plan: Plan | None, api: AirflowApi) -> str | None:
    """What to do about images that a successful run left to another; None when it left none."""
    left = plan.totals.claimed_elsewhere if plan else 0
    if not left:
        return None
    lines = [
        f"{left:,} images are in the plan of another run, which has not ended: nothing accounts for them yet."
    ]
    for run_id, state, plan_uri in _holders(api):
        lines.append(f"  {run_id} is {state}; the images are asked for again by make run, once you")
        if state == "failed":
            lines.append(
                "    clear its failed tasks in Airflow (make up) and let it end, or give them free with"
            )
            lines.append(f"    make services && .venv/bin/moderation --local release {shlex.quote(plan_uri)}")
        else:
            lines.append("    let it end: make up keeps it running")
    if len(lines) == 1:
        lines.append(
            "  It may have ended since: make run. If it has died, they are free again 24 hours after its "
            "last sign (MODERATION_CLAIM_HOURS)."
        )
    return "\n".join(lines)


def _holders(api: AirflowApi) -> list[tuple[str, str, str]]:
    """Id, state and plan of the runs that keep their images from other runs."""
    settings, held, unknown = Settings.from_env(), [], []
    with s3_objects.open_client(settings) as client:
        for run_id, state in api.recent_runs(DAG_ID):
            uri = api.xcom(DAG_ID, run_id, "discover") if state != "success" else None
            if isinstance(uri, str) and claims.is_held(client, settings, load_plan(uri, s3=client)):
                held.append((run_id, state, uri))
            elif uri is None and state in {"running", "queued"}:
                # What was killed with the stack goes on with it, and has no plan while discover is repeated.
                unknown.append((run_id, state, ""))
    return held or unknown


def _outcome(plan_uri: Any) -> tuple[Plan | None, str | None]:
    """The plan of a run and the report that it left beside it; None where it did not come that far."""
    if not isinstance(plan_uri, str):
        return None, None
    with s3_objects.open_client(Settings.from_env()) as client:
        plan = load_plan(plan_uri, s3=client)
        written = s3_objects.exists(client, plan.report_uri)
        return plan, s3_objects.read_text(client, plan.report_uri) if written else None


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
