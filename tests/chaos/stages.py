"""The stages as the Dag calls them, with the waits made short; run by :mod:`chaos.attempt`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import tenacity
import vl_convert

from chaos.attempt import LOGICAL_TIME, context
from moderation import stages
from moderation.analyse import bulk
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.cli.main import main
from moderation.plan import planner
from moderation.plan.request import PlanRequest
from moderation.plan.store import load_plan
from moderation.publish import commit, strays
from moderation.report import run_report
from moderation.settings import Settings
from rekognition import patience
from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator

LINES = 10
"""Lines of a manifest, so that a few images make several."""

IN_FLIGHT = 4
"""Calls of the detect backend under way at once: what one kill may cost there."""


SLOW_RATE = 0.5
"""Calls a second where a run is to last as long as a storm."""


def plan(*, source: str, run_id: str, backend: str, redo: str | None = None) -> str:
    """The first task of the Dag."""
    _shorten_waits()
    stages.PlanRequest = functools.partial(PlanRequest, max_lines=LINES)  # type: ignore[misc, assignment]
    run = stages.Run("moderate_images", run_id, LOGICAL_TIME)
    return stages.discover(run, source=source, backend=backend, redo_load_id=redo)


def arguments(*, plan_uri: str) -> list[dict[str, Any]]:
    """The second one and its twin for single calls: what the mapped tasks of the plan's backend are given."""
    _shorten_waits()
    hook = RekognitionHook()
    jobs = stages.job_arguments(plan_uri, rekognition=hook.conn)
    return jobs or stages.detect_arguments(
        plan_uri, [], rekognition=hook.conn, describe_job=hook.describe_job, list_jobs=hook.list_jobs
    )


def submit(*, arguments: dict[str, Any], folder: str, map_index: int, try_number: int) -> str:
    """One mapped task of the bulk backend."""
    _shorten_waits()
    operator = RekognitionStartMediaAnalysisJobOperator(
        task_id="analyse", poll_interval=0.1, wait_timeout=60, start_timeout=60, **arguments
    )
    return operator.execute(context(Path(folder), map_index=map_index, try_number=try_number, tries=3))


def detect(*, plan_uri: str, index: int, folder: str, slowly: bool = False) -> str:
    """One mapped task of the detect backend."""
    rate = SLOW_RATE if slowly else 200.0
    settings = Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    outcome = run_manifest(
        request_of(plan, plan.manifests[index]),
        settings=settings,
        budget=FixedBudget(rate),
        quota=rate,
        options=DetectOptions(
            max_in_flight=IN_FLIGHT,
            part_seconds=0.05,
            owner_seconds=1.0,
            image_seconds=30.0,
            outage_seconds=30.0,
            spool_dir=Path(folder) / "spool",
        ),
    )
    return outcome.job_id


def publish(*, plan_uri: str, job_ids: list[str]) -> str | None:
    """The publish task; and, where answers are lost for good, the person who says so and clears it."""
    _shorten_waits()
    hook = RekognitionHook()
    task = functools.partial(
        stages.publish, plan_uri, job_ids, describe_job=hook.describe_job, list_jobs=hook.list_jobs
    )
    try:
        load = task()
    except commit.ReconciliationError as error:
        if "--accept-lost" not in str(error):
            raise
        main(["publish", "--accept-lost", plan_uri])
        load = task()
    return load.load_id if load else None


def publish_part(*, plan_uri: str, left_out: int) -> str:
    """A publish that knows the answers to all manifests but so many."""
    _shorten_waits()
    settings = Settings.from_env()
    plan = load_plan(plan_uri, settings=settings)
    hook = RekognitionHook()
    records = bulk.collect_records(plan, [], describe_job=hook.describe_job, list_jobs=hook.list_jobs)
    known = records[: len(records) - left_out]
    return commit.publish(settings, plan, known, stop_on_mismatch=True).load_id


def load(*, load_id: str | None) -> str | None:
    """The load task: the DuckDB file and the mirror."""
    return stages.load(load_id)


def report(*, plan_uri: str, load_id: str | None) -> str:
    """The last task. Its drawings are not looked at, and would take half of its time."""
    vl_convert.vegalite_to_svg = lambda *_, **__: '<svg viewBox="0 0 1 1"/>'
    return run_report.report(plan_uri, load_id)


def _shorten_waits() -> None:
    """A refused call is repeated after hundredths of a second; the bounds stay."""
    planner._OWN_LOCK_SECONDS = strays._OWN_LOCK_SECONDS = 0.5
    patience._BACKOFF = tenacity.wait_random_exponential(multiplier=0.02, max=0.5)
