"""``archive run``: works an archive off from here, without Airflow, by single calls."""

from __future__ import annotations

import argparse
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from moderation.archive.backfill import alone, state
from moderation.archive.backfill.names import DAG_ID
from moderation.archive.backfill.state import GOES_ON, PARKED, PAUSED, Archive
from moderation.cli import arguments
from moderation.cli.archive.backfill import tell
from moderation.cli.boundary import DONE, SOMETHING_FAILED
from moderation.cli.jobs import Rekognition, jobs_since
from moderation.cli.output import one_line, warn
from moderation.errors import DefectError
from moderation.reference.library_errors import named
from moderation.settings import Settings
from moderation.storage import lease, s3_objects

_TTL = 120.0
"""Seconds after which Airflow may take an archive up that a killed command worked off."""


def add_parser(actions: Any) -> None:
    """Add it to ``archive``.

    :param actions: what ``ArgumentParser.add_subparsers()`` returned.
    """
    parser = actions.add_parser(
        "run", help="work an archive off from here, without Airflow: chunk after chunk, by single calls"
    )
    parser.add_argument("name")
    parser.add_argument(
        "--every",
        type=arguments.seconds,
        default=60.0,
        metavar="SECONDS",
        help="how often to look again while it waits (for its budget, or after a failure)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=_run)


def _run(settings: Settings, options: argparse.Namespace) -> int:
    with s3_objects.open_client(settings) as s3:
        alone.check(state.read(settings, s3, options.name))
        with _held(s3, alone.lease_uri(settings, options.name)) as held:
            archive = _work_off(settings, s3, options, HereRuns(settings), held)
    tell(settings, archive, as_json=options.json)
    owed = sum((archive.result.get("owed") or {}).values())
    parked = any(chunk.status == PARKED for chunk in archive.chunks)
    return SOMETHING_FAILED if owed or parked else DONE


def _work_off(
    settings: Settings, s3: Any, options: argparse.Namespace, runs: HereRuns, held: Callable[[], None]
) -> Archive:
    """Look, begin and wait, until nothing is left or a person paused it."""
    from moderation.archive.backfill import step  # noqa: PLC0415 - DuckDB is slow to import
    from moderation.publish import gone  # noqa: PLC0415 - as Iceberg is

    name, waited = options.name, ""
    while True:
        held()
        asked = step.step(runs, asker=alone.asker(name), settings=settings, only=name)
        archive = state.read(settings, s3, name)
        for one in asked:
            step.begun([one["trigger_run_id"]], settings=settings)
            runs.begin(one)
        if asked:
            continue
        if name in step.due(settings=settings):
            step.reconcile(name, settings=settings, mark=gone.mark)
            return state.read(settings, s3, name)
        if archive.result or archive.status not in (GOES_ON, PAUSED):
            return archive
        if archive.status == PAUSED and not archive.paused_until:
            return archive
        if archive.waits != waited:
            warn(f"waits: {archive.waits}" if archive.waits else None)
            waited = archive.waits
        time.sleep(max(options.every, 1.0))


class HereRuns:
    """Runs that go on in this process, one after the other; of those of an earlier one nothing is known."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._known: dict[str, str] = {}
        self._why: dict[str, str] = {}

    def states(self, run_ids: list[str]) -> Mapping[str, str | None]:
        """Of each, as Airflow would call it."""
        return {run_id: self._known.get(run_id) for run_id in run_ids}

    def live(self) -> int:
        """None goes on while somebody asks."""
        return 0

    def ahead(self, run_ids: list[str]) -> Mapping[str, int | None]:
        """None waits for a slot: a run is over before anybody asks."""
        return dict.fromkeys(run_ids, 0)

    def why(self, run_id: str) -> str:
        """The error that a run ended with."""
        return self._why.get(run_id, "")

    def lives(self, dag_id: str, run_id: str) -> bool:
        """None goes on while somebody asks."""
        return False

    def begin(self, asked: dict[str, Any]) -> None:
        """Work a chunk off; what a person or time mends makes its run a failed one, a defect goes up."""
        run_id = asked["trigger_run_id"]
        warn(f"{run_id} begins")
        try:
            self._work_off(run_id, asked["conf"])
        except Exception as error:
            known = named(error)
            if known is None or isinstance(known, DefectError):
                raise
            self._known[run_id], self._why[run_id] = "failed", str(known)
            warn(f"{run_id} failed: {one_line(str(known))}")
        else:
            self._known[run_id] = "success"
            warn(f"{run_id} is done")

    def _work_off(self, run_id: str, conf: dict[str, Any]) -> None:
        from moderation import stages  # noqa: PLC0415 - Iceberg is slow to import
        from moderation.analyse.before_paying import why_not_ours  # noqa: PLC0415
        from moderation.analyse.detect.records import request_of  # noqa: PLC0415
        from moderation.analyse.detect.run import run_manifest  # noqa: PLC0415
        from moderation.plan.store import load_plan  # noqa: PLC0415
        from moderation.report import run_report  # noqa: PLC0415

        settings = self._settings
        run = stages.Run(DAG_ID, run_id, datetime.now(UTC))
        with Rekognition(settings) as rekognition:
            uri = stages.discover(
                run,
                settings=settings,
                rekognition=lambda: rekognition,
                list_jobs=lambda since: jobs_since(rekognition, since),
                **(conf | {"backend": "detect"}),
            )
            stages.job_arguments(uri, rekognition=rekognition, settings=settings)
            stages.approve(uri, settings=settings)
        plan = load_plan(uri, settings=settings)
        for manifest in plan.manifests:
            if reason := why_not_ours(uri, manifest.uri, settings=settings):
                warn(reason)
                break
            run_manifest(request_of(plan, manifest), settings=settings)
        published = stages.publish(uri, [], describe_job=_none, list_jobs=lambda _: (), settings=settings)
        load_id = published.load_id if published else None
        stages.load(load_id, settings=settings)
        run_report.report(uri, load_id, settings=settings)


def _none(job_id: str) -> dict[str, Any]:
    raise AssertionError(f"single calls have no job {job_id}")


@contextmanager
def _held(s3: Any, uri: str) -> Iterator[Callable[[], None]]:
    """Keep Airflow's conductor from the archive; yields what raises once that is no longer so."""
    lost: list[BaseException] = []
    over = threading.Event()

    def keep(held: lease.Lease) -> None:
        while not over.wait(_TTL / 10):
            try:
                held.keep()
            except lease.LeaseLost as error:
                lost.append(error)
                return
            except s3_objects.S3Error as error:
                logging.getLogger(__name__).warning("%s could not be renewed now: %s", uri, error)

    def raise_if_lost() -> None:
        if lost:
            raise lost[0]

    with lease.hold(s3, uri, owner="archive run", ttl=_TTL, wait=0.0) as held:
        thread = threading.Thread(target=keep, args=(held,), daemon=True)
        thread.start()
        try:
            yield raise_if_lost
        finally:
            over.set()
            with suppress(RuntimeError):
                thread.join()
