"""Makes the plan of a run: which pictures, in which manifests, at what price, and whose they are.

Everything that can happen twice (two runs at once, a retry, a run cleared and run again) is settled here,
under one lock in S3: a picture is in one open plan at a time.
"""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice, takewhile
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan import claims, ledger, manifests
from moderation.plan.coverage import Question
from moderation.plan.discovery import Discovery, discover, leave_out
from moderation.plan.estimate import estimate
from moderation.plan.inputs import numbered
from moderation.plan.ledger import PublishedReader
from moderation.plan.manifests import Manifest
from moderation.plan.store import (
    ManifestRef,
    Plan,
    PlanError,
    Totals,
    close,
    find_open_plan,
    is_closed,
    latest_plan,
    load_id,
    load_plan,
    open_inputs,
    plan_uri,
    read_inputs,
    read_manifest,
    run_key,
    write_inputs,
)
from moderation.reference import limits
from moderation.settings import Settings
from moderation.sources.failed_of_load import FailedOfLoad
from moderation.sources.listing import SCHEMA, chunked
from moderation.sources.open import Source, SourceError, open_source
from moderation.storage import lease as leases
from moderation.storage import s3_objects, scratch
from moderation.storage.row_file import PORTION_ROWS, RowFile
from moderation.tables.source_ref_ranges import range_of

__all__ = [
    "ManifestRef",
    "Plan",
    "PlanError",
    "PlanRequest",
    "Totals",
    "find_open_plan",
    "load_plan",
    "make_plan",
    "mark_published",
    "read_inputs",
    "read_manifest",
    "release",
    "renew_claim",
    "run_key",
]

log = logging.getLogger(__name__)

BACKENDS = ("bulk", "detect", "auto")
MAX_MANIFESTS = 1000
"""Airflow maps at most 1,024 tasks from one list (``core.max_map_length``); what is beyond waits for the next
run."""

_ADAPTER = re.compile(
    r"arn:[a-z\d-]+:rekognition:[a-z\d-]+:\d{12}:project/[a-zA-Z0-9_.\-]{1,255}"
    r"/version/[a-zA-Z0-9_.\-]{1,255}/[0-9]+"
)
_JOB_NAME = re.compile(r"[a-zA-Z0-9_.\-]{1,24}")
_WRITES_AT_ONCE = 8
_OWN_LOCK_SECONDS = 20.0
"""After which the lock of an earlier try of the same run counts as left by a killed process: Airflow starts
the next try only when it believes that one dead."""


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What a run is asked to do.

    :param run_key: from :func:`run_key`.
    :param source: see :func:`moderation.sources.open.open_source`.
    :param logical_time: the run's time, with a time zone; its UTC date is the partition of the run's rows.
    :param min_confidence: labels below this percentage are not asked for, 0 to 100.
    :param adapter: ARN of a custom moderation adapter's version, or None.
    :param force: analyse again what is already moderated.
    :param backend: ``bulk``, ``detect`` or ``auto``.
    :param job_name: begins the names of the jobs; at most 24 of ``a-z A-Z 0-9 _ . -``.
    :param inspect: read the headers of S3 objects before they are sent.
    :param max_images: analyse no more than that in this run.
    :param max_lines: lines a manifest, at most 10,000.
    :raises PlanError: an argument is out of its range; the text names it.
    """

    run_key: str
    source: str
    logical_time: datetime
    min_confidence: float = 50.0
    adapter: str | None = None
    force: bool = False
    backend: str = "bulk"
    job_name: str = "moderation"
    inspect: bool = True
    max_images: int | None = None
    max_lines: int = limits.MANIFEST_MAX_LINES

    def __post_init__(self) -> None:
        number = self.min_confidence
        if isinstance(number, bool) or not math.isfinite(number) or not 0 <= number <= 100:
            raise PlanError(f"min_confidence={number}: expected a percentage from 0 to 100")
        if self.adapter is not None and not _ADAPTER.fullmatch(self.adapter):
            raise PlanError(f"adapter={self.adapter!r}: expected the ARN of an adapter version, or none")
        if self.backend not in BACKENDS:
            raise PlanError(f"backend={self.backend!r}: expected one of {', '.join(BACKENDS)}")
        if not _JOB_NAME.fullmatch(self.job_name):
            raise PlanError(f"job_name={self.job_name!r}: expected 1 to 24 of a-z A-Z 0-9 _ . -")
        if self.max_images is not None and self.max_images < 1:
            raise PlanError(f"max_images={self.max_images}: expected a number above 0")
        if not 1 <= self.max_lines <= limits.MANIFEST_MAX_LINES:
            raise PlanError(f"max_lines={self.max_lines}: expected 1 to {limits.MANIFEST_MAX_LINES}")
        if self.logical_time.tzinfo is None:
            raise PlanError(f"logical_time={self.logical_time}: expected a time with a time zone")
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,128}", self.run_key):
            raise PlanError(f"run_key={self.run_key!r}: make it with plan.run_key(dag_id, run_id)")


def make_plan(
    settings: Settings, request: PlanRequest, *, published: PublishedReader, dry_run: bool = False
) -> Plan:
    """Plan a run, or give back its plan that still waits to be published.

    :param published: gives the rows of all published loads; ``moderation.publish.commit.published_images``.
    :param dry_run: plan and price only; nothing is uploaded, written or claimed.
    :raises PlanError: the request or the source cannot be used; s3.S3Error: S3 refuses;
        lease.LeaseBusy: another run was planning all the time; lease.LeaseLost: planning took too long.
    """
    try:
        source = open_source(request.source)
        with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
            return _Planner(settings, request, source, published, s3).plan(dry_run=dry_run)
    except SourceError as error:
        raise PlanError(str(error)) from error


def mark_published(plan: Plan, *, settings: Settings) -> None:
    """Say that the plan's rows are in the tables; its pictures are the ledger's now. May be repeated."""
    with s3_objects.open_client(settings) as s3:
        close(plan, "published", s3=s3)
        claims.drop(s3, settings, plan)


def release(plan: Plan, *, settings: Settings) -> None:
    """Let other runs have the pictures of a plan that goes on no more, before the claim runs out.

    The plan stays: when its run is started again, it goes on unless others took its pictures meanwhile.
    """
    with s3_objects.open_client(settings) as s3:
        claims.drop(s3, settings, plan)


def renew_claim(plan: Plan, *, settings: Settings, published: PublishedReader) -> None:
    """Keep the plan's pictures for another ``MODERATION_CLAIM_HOURS``; for runs that take days.

    :param published: as for :func:`make_plan`.
    :raises PlanError: the claim ran out, and others took some of the pictures meanwhile;
        lease.LeaseBusy: another run was planning all the time.
    """
    request = PlanRequest(
        run_key=plan.run_key,
        source=plan.source,
        logical_time=datetime.fromisoformat(plan.created_at),
        min_confidence=plan.min_confidence,
        adapter=plan.adapter,
        force=plan.force,
    )
    with s3_objects.open_client(settings) as s3:
        _Planner(settings, request, open_source(plan.source), published, s3).renew(plan)


class _Planner:
    def __init__(
        self, settings: Settings, request: PlanRequest, source: Source, published: PublishedReader, s3: Any
    ) -> None:
        self.settings, self.request, self.source, self.s3 = settings, request, source, s3
        self.published = published
        self.question = Question(
            settings.model_version,
            request.adapter,
            request.min_confidence,
            retry_refused=isinstance(source, FailedOfLoad) and source.permanent,
        )

    def plan(self, *, dry_run: bool) -> Plan:
        if not dry_run and (existing := self._resume()):
            return existing
        with scratch.folder(None, "plan") as folder:
            found = discover(
                self.settings,
                self.s3,
                self.source,
                question=self.question,
                published=None if self.request.force else self.published,
                inspect=self.request.inspect,
                dry_run=dry_run,
                folder=folder,
            )
            if dry_run:
                return _Draft(self, found, number=0, writer=None).finish()
            return self._store(found)

    def _store(self, found: Discovery) -> Plan:
        with self._lock() as lease:
            # Another attempt of this very run may have planned while this one was listing.
            if existing := find_open_plan(self.settings, self.request.run_key, s3=self.s3):
                return existing
            claims.drop_expired(self.s3, self.settings)
            latest = latest_plan(self.settings, self.request.run_key, s3=self.s3)
            number = latest.plan_number + 1 if latest else 1
            plan = _Draft(self, found, number=number, writer=_Writer(self.s3, lease)).finish()
            if not plan.is_empty:
                claims.write(self.s3, self.settings, plan)
            # Whoever takes the lock over from here on sees the claim; who did before makes this fail.
            lease.renew()
            if s3_objects.put_if_absent(self.s3, plan.uri, plan.to_json()) is None:
                return load_plan(plan.uri, s3=self.s3)
        return plan

    def _resume(self) -> Plan | None:
        """This run's plan if it waits to be published and its pictures are still its own."""
        plan = find_open_plan(self.settings, self.request.run_key, s3=self.s3)
        if plan is None:
            return None
        with self._lock():
            if is_closed(plan, s3=self.s3):
                return None
            if self._asks_the_same(plan) and self._still_owns(plan):
                claims.write(self.s3, self.settings, plan)
                log.info("going on with %s", plan.uri)
                return plan
            log.warning("%s is abandoned: its pictures were taken by others, or more is asked now", plan.uri)
            close(plan, "abandoned", s3=self.s3)
            claims.drop(self.s3, self.settings, plan)
        return None

    def renew(self, plan: Plan) -> None:
        with self._lock():
            if not self._still_owns(plan):
                raise PlanError(
                    f"{plan.uri}: its claim ran out while it waited, and other runs took some of its "
                    "pictures; clear the task discover with everything after it: it plans what is left"
                )
            claims.write(self.s3, self.settings, plan)

    def _asks_the_same(self, plan: Plan) -> bool:
        return (plan.source, plan.adapter, plan.min_confidence, plan.model_version) == (
            self.source.uri,
            self.request.adapter,
            self.request.min_confidence,
            self.settings.model_version,
        )

    def _still_owns(self, plan: Plan) -> bool:
        if claims.is_held(self.s3, self.settings, plan):
            return True
        with open_inputs(plan, s3=self.s3) as file, self.claimed_by_others() as is_claimed:
            for batch in file.iter_batches(PORTION_ROWS, columns=["source_ref", "etag"]):
                portion = pa.Table.from_batches([batch])
                taken = is_claimed(portion)
                between = range_of(portion["source_ref"])
                if not self.request.force:
                    rows = self.published(self.settings, ledger.COLUMNS, between=between)
                    taken = pc.or_(taken, ledger.already_moderated(portion, rows, question=self.question))
                if pc.any(taken, min_count=0).as_py():
                    return False
        return True

    def claimed_by_others(self) -> AbstractContextManager[Callable[[pa.Table], pa.BooleanArray]]:
        return claims.of_others(self.s3, self.settings, run_key=self.request.run_key, question=self.question)

    def _lock(self) -> Any:
        uri = s3_objects.join_uri(self.settings.work_uri, "locks", "plan.json")
        return leases.hold(self.s3, uri, owner=self.request.run_key, own_ttl=_OWN_LOCK_SECONDS)


class _Writer:
    """Writes manifests, and keeps the lock alive meanwhile."""

    def __init__(self, s3: Any, lease: leases.Lease) -> None:
        self._s3, self._lease, self._renewed = s3, lease, time.monotonic()

    def manifests(self, folder: str, cut: Iterator[Manifest]) -> Iterator[Manifest]:
        with ThreadPoolExecutor(_WRITES_AT_ONCE, thread_name_prefix="manifests") as pool:
            for some in chunked(cut, _WRITES_AT_ONCE):
                list(pool.map(lambda manifest: self._put(folder, manifest), some))
                self.keep_lock()
                yield from some

    def inputs(self, folder: str, tables: Iterator[pa.Table]) -> tuple[str, str]:
        return write_inputs(self._s3, folder, map(self._kept, tables))

    def _kept(self, table: pa.Table) -> pa.Table:
        self.keep_lock()
        return table

    def keep_lock(self) -> None:
        if time.monotonic() - self._renewed > self._lease.ttl / 4:
            self._lease.renew()
            self._renewed = time.monotonic()

    def _put(self, folder: str, manifest: Manifest) -> None:
        s3_objects.put(self._s3, _manifest_uri(folder, manifest), manifest.content)


class _Draft:
    """Turns a discovery into a plan; with a writer its files are stored, ``plan.json`` excepted."""

    def __init__(self, planner: _Planner, found: Discovery, *, number: int, writer: _Writer | None) -> None:
        self.planner, self.found, self.number, self.writer = planner, found, number, writer
        self.request, self.settings = planner.request, planner.settings
        self.uri = plan_uri(self.settings, self.request.run_key, number)
        self.folder = self.uri.rpartition("/")[0]
        spool = found.rows.path.parent
        self.accepted = RowFile(spool / "accepted.arrow", SCHEMA)
        self.rejected = RowFile(spool / "rejected.arrow", SCHEMA)

    def finish(self) -> Plan:
        claimed = self._leave_out()
        chosen = self._cut()
        lines = [manifest.lines for manifest in chosen]
        inputs_uri, digest = "", ""
        if self.writer:
            inputs_uri, digest = self.writer.inputs(
                self.folder, numbered(self.accepted, lines, self.rejected)
            )
        expected = estimate(self.settings, manifest_lines=lines, adapter=self.request.adapter)
        return Plan(
            uri=self.uri,
            run_key=self.request.run_key,
            plan_number=self.number,
            load_id=load_id(self.request.run_key, self.number, self.request.logical_time),
            dt=self.request.logical_time.astimezone(UTC).date().isoformat(),
            source=self.planner.source.uri,
            min_confidence=float(self.request.min_confidence),
            adapter=self.request.adapter,
            model_version=self.settings.model_version,
            force=self.request.force,
            backend=self.request.backend,
            created_at=datetime.now(UTC).isoformat(),
            inputs_uri=inputs_uri,
            inputs_sha256=digest,
            totals=Totals(
                listed=self.found.listed,
                ignored=self.found.ignored,
                already_moderated=self.found.already_moderated,
                claimed_elsewhere=claimed,
                postponed=self.accepted.rows - sum(lines),
                rejected=self.rejected.rows,
                to_analyse=sum(lines),
            ),
            expected_cost_usd=float(expected.cost_usd),
            expected_seconds={"bulk": expected.bulk_seconds, "detect": expected.detect_seconds},
            manifests=tuple(chosen),
        )

    def _leave_out(self) -> int:
        """Leave out what others do or did, part what can be sent from what cannot; returns what is claimed.

        Claims first: what leaves them in between is published by then.
        """
        claimed = 0
        published = None if self.request.force else self.planner.published
        with (
            self.planner.claimed_by_others() as is_claimed,
            self.accepted.writing(),
            self.rejected.writing(),
        ):
            for portion in self.found.rows.portions():
                if self.writer:
                    self.writer.keep_lock()
                left = leave_out(portion, is_claimed(portion))
                claimed += len(portion) - len(left)
                if published:
                    left = self.found.without_published(left, self.settings, published, self.planner.question)
                can_be_sent = pc.is_null(left["error_code"])
                self.accepted.write(left.filter(can_be_sent))
                self.rejected.write(left.filter(pc.invert(can_be_sent)))
        self.found.rows.delete()
        return claimed

    def _cut(self) -> list[ManifestRef]:
        most = MAX_MANIFESTS * self.request.max_lines
        total = min(self.accepted.rows, self.request.max_images or most, most)
        refs = (ref for batch in self.accepted.batches() for ref in batch["source_ref"].to_pylist())
        cut = manifests.cut(islice(refs, total), total=total, max_lines=self.request.max_lines)
        first = takewhile(lambda manifest: manifest.index < MAX_MANIFESTS, cut)
        written = self.writer.manifests(self.folder, first) if self.writer else first
        return [self._reference(manifest) for manifest in written]

    def _reference(self, manifest: Manifest) -> ManifestRef:
        bucket, key = s3_objects.split_uri(self.folder)
        name = load_id(self.request.run_key, self.number, self.request.logical_time)
        return ManifestRef(
            manifest_id=manifest.manifest_id,
            uri=_manifest_uri(self.folder, manifest),
            lines=manifest.lines,
            bytes=len(manifest.content),
            job_name=f"{self.request.job_name}-{name}-m{manifest.index:05d}",
            output_bucket=bucket,
            output_prefix=f"{key}/output/{manifest.manifest_id}/",
        )


def _manifest_uri(folder: str, manifest: Manifest) -> str:
    return f"{folder}/manifests/{manifest.manifest_id}.jsonl"
