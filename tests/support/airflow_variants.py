"""The product's own Dag file, with the few words changed that a test needs: small manifests, short delays."""

from __future__ import annotations

from pathlib import Path

from support.airflow_home import REPOSITORY

PLAIN, DEFERRABLE, NO_WAIT = "moderate_images", "moderate_deferrable", "moderate_no_wait"
MANIFEST_LINES = 2
LATE_SECONDS = 5

_SMALL = {
    "from datetime import UTC, datetime, timedelta\n": (
        "import functools\nfrom datetime import UTC, datetime, timedelta\n"
    ),
    '"retry_delay": timedelta(seconds=30)': '"retry_delay": timedelta(seconds=1)',
    "        run = stages.Run(": (
        "        stages.PlanRequest = functools.partial(stages.PlanRequest, max_lines="
        f"{MANIFEST_LINES})\n        run = stages.Run("
    ),
}
_UNSCHEDULED = {"schedule=NIGHTLY if SETTINGS.source else None": "schedule=None"}
_DEADLINE = "deadline=alerts.deadline(hours=SETTINGS.deadline_hours) if SETTINGS.source else None"
_NO_DEADLINE = {_DEADLINE: "deadline=None"}
# A schedule that asks for nothing by itself, so that only a backfill makes runs of its dates.
_OVER = {"catchup=False": "catchup=False, end_date=datetime(2026, 1, 31, tzinfo=UTC)"}
_LATE = {_DEADLINE: f"deadline=alerts.deadline(hours={LATE_SECONDS / 3600})"}
_POLL = "poll_interval=timedelta(seconds=SETTINGS.poll_seconds),"
_DEFERRABLE = {_POLL: f"{_POLL} deferrable=True,"}
_NO_WAIT = {
    _POLL: f"{_POLL} wait_for_completion=False,",
    "from rekognition.retry_policy": (
        "from rekognition.sensors import RekognitionMediaAnalysisJobSensor\nfrom rekognition.retry_policy"
    ),
    "detect.output)\n": (
        "detect.output)\n    ended = RekognitionMediaAnalysisJobSensor.partial(\n"
        '        task_id="ended", poke_interval=1, mode="reschedule"\n'
        "    ).expand(job_id=analyse.output)\n"
        "    ended >> published\n"
    ),
}


def write_dags(folder: Path) -> None:
    """Write the Dag in its three ways to wait: in the worker, in the triggerer, and not at all."""
    folder.mkdir()
    _write(folder, PLAIN, _SMALL | _OVER | _NO_DEADLINE)
    _write(folder, DEFERRABLE, _SMALL | _UNSCHEDULED | _LATE | _DEFERRABLE)
    _write(folder, NO_WAIT, _SMALL | _UNSCHEDULED | _NO_DEADLINE | _NO_WAIT)


def _write(folder: Path, dag_id: str, changes: dict[str, str]) -> None:
    text = (REPOSITORY / "dags" / "moderate_images.py").read_text()
    for old, new in {**changes, 'dag_id="moderate_images"': f'dag_id="{dag_id}"'}.items():
        assert text.count(old) == 1, f"dags/moderate_images.py holds {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    (folder / f"{dag_id}.py").write_text(text)
