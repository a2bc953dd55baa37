"""What the code of today is asked to do with earlier state; only this file knows the names of its modules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from chaos.attempt import context
from moderation import stages
from moderation.analyse.detect.budget import FixedBudget
from moderation.analyse.detect.records import request_of
from moderation.analyse.detect.request import DetectOptions
from moderation.analyse.detect.run import run_manifest
from moderation.maintenance.rebuild import rebuild
from moderation.plan.store import load_plan
from moderation.settings import Settings
from rekognition.hooks import RekognitionHook
from rekognition.operators import RekognitionStartMediaAnalysisJobOperator

_LOGICAL_TIME = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
_CALLS_A_SECOND = 1000.0


def environment(folder: Path, buckets: tuple[str, str, str]) -> dict[str, str]:
    """What the code reads of its surroundings, with everything local in one folder."""
    work, given, tables = buckets
    return {
        "AIRFLOW_CONN_AWS_DEFAULT": '{"conn_type": "aws"}',
        "MODERATION_WORK_URI": f"s3://{work}/work",
        "MODERATION_INPUT_URI": f"s3://{given}/input",
        "MODERATION_TABLES_URI": f"s3://{tables}/tables",
        "MODERATION_CATALOG_URI": f"sqlite:///{folder}/catalog.db",
        "MODERATION_WAREHOUSE": str(folder / "warehouse.duckdb"),
        "MODERATION_PARQUET_DIR": str(folder / "mirror"),
        "MODERATION_MODEL": "offline-hash-1",
        "MODERATION_SPOOL_DIR": str(folder / "spool"),
    }


@dataclass(frozen=True)
class Planned:
    """A plan, as far as is asked of it.

    :param totals: what became of everything listed, by name.
    """

    uri: str
    load_id: str
    totals: Mapping[str, int]


def plan(
    run_id: str, source: str, *, backend: str = "bulk", redo: str | None = None, dry_run: bool = False
) -> Planned:
    """Plan a run, or find its plan."""
    run = stages.Run("moderate_images", run_id, _LOGICAL_TIME)
    uri = stages.discover(run, source=source, backend=backend, redo_load_id=redo, dry_run=dry_run)
    found = load_plan(uri, settings=Settings.from_env())
    totals = vars(found.totals) | {
        "already_moderated": found.totals.already_moderated + (found.totals.refused or 0)
    }
    del totals["refused_before"]  # which earlier releases counted as moderated
    del totals["copies"], totals["contents"], totals["gone"]  # of which they knew nothing
    return Planned(uri, found.load_id, totals)


def bulk_jobs(plan_uri: str) -> int:
    """How many bulk jobs a plan is given; starts none."""
    return len(stages.job_arguments(plan_uri, rekognition=RekognitionHook().conn))


def analyse(plan_uri: str, *, folder: Path) -> list[str]:
    """Every task between the plan and the publish; returns the ids of the bulk jobs.

    :param folder: what the tasks' earlier tries remember, one file each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    hook = RekognitionHook()
    arguments = stages.job_arguments(plan_uri, rekognition=hook.conn)
    job_ids = [
        RekognitionStartMediaAnalysisJobOperator(
            task_id="analyse", poll_interval=0.05, wait_timeout=60, start_timeout=60, **given
        ).execute(context(folder, map_index=index, try_number=2, tries=3))
        for index, given in enumerate(arguments)
    ]
    left = stages.detect_arguments(
        plan_uri, job_ids, rekognition=hook.conn, describe_job=hook.describe_job, list_jobs=hook.list_jobs
    )
    settings = Settings.from_env()
    found = load_plan(plan_uri, settings=settings)
    for manifest in found.manifests:
        if manifest.uri in {given["input_uri"] for given in left}:
            run_manifest(
                request_of(found, manifest),
                settings=settings,
                budget=FixedBudget(_CALLS_A_SECOND),
                quota=_CALLS_A_SECOND,
                options=DetectOptions(part_seconds=0.5, owner_seconds=1.0),
            )
    return job_ids


def publish(plan_uri: str, job_ids: list[str]) -> str | None:
    """Publish the answers to a plan; returns the load's id."""
    hook = RekognitionHook()
    load = stages.publish(plan_uri, job_ids, describe_job=hook.describe_job, list_jobs=hook.list_jobs)
    return load.load_id if load else None


def load(load_id: str) -> None:
    """Bring a load into the warehouse and the mirror."""
    stages.load(load_id)


def rebuilt() -> dict[str, tuple[bool, bool]]:
    """Make all tables anew; of each load, whether every count and whether the digest is as before."""
    return {load.load_id: (load.is_proven, load.is_same_digest) for load in rebuild(Settings.from_env())}
