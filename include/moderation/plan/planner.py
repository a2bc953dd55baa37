"""Makes the plan of a run: which pictures, in which manifests, at what price, and whose they are.

Everything that can happen twice (two runs at once, a retry, a run cleared and run again) is settled here,
under one lock in S3: a picture is in one open plan at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.plan import claims, ledger
from moderation.plan.discovery import Discovery, discover
from moderation.plan.draft import Asked, Draft, Writer
from moderation.plan.ledger import PublishedReader, Question
from moderation.plan.plan import (
    Plan,
    PlanError,
)
from moderation.plan.request import PlanRequest
from moderation.plan.store import (
    close,
    find_open_plan,
    is_closed,
    latest_plan,
    load_plan,
    open_inputs,
)
from moderation.settings import Settings
from moderation.sources.base import Source, SourceError
from moderation.sources.gone import Looked
from moderation.sources.open import open_source
from moderation.storage import lease, s3_objects, scratch
from moderation.storage.row_file import PORTION_ROWS
from moderation.tables import register
from moderation.tables.ledger.layout import COLUMNS
from moderation.tables.source_ref_ranges import range_of

log = logging.getLogger(__name__)

Mark = Callable[[Settings, Looked], None]
"""Keeps what a listing showed of images that are known."""

_OWN_LOCK_SECONDS = 20.0
"""After which the lock of an earlier try of the same run counts as left by a killed process: Airflow starts
the next try only when it believes that one dead."""


def make_plan(
    settings: Settings,
    request: PlanRequest,
    *,
    published: PublishedReader,
    dry_run: bool = False,
    mark: Mark | None = None,
) -> Plan:
    """Plan a run, or give back its plan that still waits to be published.

    :param published: gives the rows of all published loads; ``moderation.tables.ledger.known.stream_known``.
    :param dry_run: plan and price only; nothing is uploaded, written, marked or claimed.
    :param mark: keeps which images are gone at the source, before the plan is; `publish.gone.mark`.
    :raises PlanError: the request or the source cannot be used; s3.S3Error: S3 refuses;
        lease.LeaseBusy: another run was planning all the time; lease.LeaseLost: planning took too long.
    """
    try:
        source = open_source(request.source)
        with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
            return _Planner(settings, request, source, published, s3, mark).plan(dry_run=dry_run)
    except SourceError as error:
        raise PlanError(str(error)) from error


def mark_published(plan: Plan, *, settings: Settings) -> None:
    """Say that the plan's rows are in the tables; its pictures are the ledger's now. May be repeated."""
    with s3_objects.open_client(settings) as s3:
        if not plan.is_empty:
            register.note(s3, settings, plan.load_id)
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
    question = Question(
        settings.model_version,
        plan.adapter,
        plan.min_confidence,
        retry_refused=open_source(plan.source).retry_refused,
    )
    with s3_objects.open_client(settings) as s3:
        _Ownership(settings, plan.run_key, question, None if plan.force else published, s3).renew(plan)


@dataclass(frozen=True)
class _Ownership:
    """Whose pictures a run's are.

    :param published: None for a run that analyses again what is moderated.
    """

    settings: Settings
    run_key: str
    question: Question
    published: PublishedReader | None
    s3: Any

    def lock(self) -> AbstractContextManager[lease.Lease]:
        """The lock under which plans are made, and claims taken."""
        uri = s3_objects.join_uri(self.settings.work_uri, "locks", "plan.json")
        return lease.hold(self.s3, uri, owner=self.run_key, own_ttl=_OWN_LOCK_SECONDS)

    def holds(self, plan: Plan) -> bool:
        """Whether the plan's pictures are still its own: claimed, or at least taken by nobody else."""
        if claims.is_held(self.s3, self.settings, plan):
            return True
        others = claims.of_others(self.s3, self.settings, run_key=self.run_key, question=self.question)
        with open_inputs(plan, s3=self.s3) as file, others as is_claimed, ExitStack() as stack:
            # After the claims: what leaves them in between is published by then.
            published = (
                stack.enter_context(ledger.begun(self.published, self.settings)) if self.published else None
            )
            for batch in file.iter_batches(PORTION_ROWS, columns=["source_ref", "etag"]):
                portion = pa.Table.from_batches([batch])
                taken = is_claimed(portion)
                if published:
                    between = range_of(portion["source_ref"])
                    names = portion["source_ref"]
                    rows = published(self.settings, COLUMNS, between=between, names=names)
                    taken = pc.or_(taken, ledger.already_moderated(portion, rows, question=self.question))
                if pc.any(taken, min_count=0).as_py():
                    return False
        return True

    def renew(self, plan: Plan) -> None:
        """Claim the plan's pictures anew; see `renew_claim`."""
        with self.lock():
            if not self.holds(plan):
                raise PlanError(
                    f"{plan.uri}: its claim ran out while it waited, and other runs took some of its "
                    "images; clear the task discover with everything after it: it plans what is left"
                )
            claims.write(self.s3, self.settings, plan)


class _Planner:
    def __init__(  # noqa: PLR0917 - made in one place
        self,
        settings: Settings,
        request: PlanRequest,
        source: Source,
        published: PublishedReader,
        s3: Any,
        mark: Mark | None,
    ) -> None:
        self.mark = mark
        self.settings, self.request, self.source, self.s3 = settings, request, source, s3
        self.question = Question(
            settings.model_version,
            request.adapter,
            request.min_confidence,
            retry_refused=source.retry_refused,
            older_share=request.older_share,
            any_confidence=request.any_confidence,
        )
        self.published = None if request.force else published
        self.ownership = _Ownership(settings, request.run_key, self.question, self.published, s3)

    def plan(self, *, dry_run: bool) -> Plan:
        if not dry_run and (existing := self._resume()):
            return existing
        with scratch.folder(None, "plan") as folder:
            found = discover(
                self.settings,
                self.s3,
                self.source,
                question=self.question,
                published=self.published,
                inspect=self.request.inspect,
                dry_run=dry_run,
                folder=folder,
            )
            if dry_run:
                return self._draft(found, number=0, writer=None)
            if self.mark and found.looked:
                self.mark(self.settings, found.looked)
            return self._store(found)

    def _store(self, found: Discovery) -> Plan:
        with self.ownership.lock() as held:
            # Another attempt of this very run may have planned while this one was listing.
            if existing := find_open_plan(self.settings, self.request.run_key, s3=self.s3):
                return existing
            claims.drop_expired(self.s3, self.settings)
            latest = latest_plan(self.settings, self.request.run_key, s3=self.s3)
            number = latest.plan_number + 1 if latest else 1
            plan = self._draft(found, number=number, writer=Writer(self.s3, held))
            if not plan.is_empty:
                claims.write(self.s3, self.settings, plan)
            # Whoever takes the lock over from here on sees the claim; who did before makes this fail.
            held.renew()
            if s3_objects.put_if_absent(self.s3, plan.uri, plan.to_json()) is None:
                return load_plan(plan.uri, s3=self.s3)
        return plan

    def _resume(self) -> Plan | None:
        """This run's plan if it waits to be published and its pictures are still its own."""
        plan = find_open_plan(self.settings, self.request.run_key, s3=self.s3)
        if plan is None:
            return None
        with self.ownership.lock():
            if is_closed(plan, s3=self.s3):
                return None
            if self._asks_the_same(plan) and self.ownership.holds(plan):
                claims.write(self.s3, self.settings, plan)
                log.info("going on with %s", plan.uri)
                return plan
            log.warning("%s is abandoned: its images were taken by others, or more is asked now", plan.uri)
            close(plan, "abandoned", s3=self.s3)
            claims.drop(self.s3, self.settings, plan)
        return None

    def _asks_the_same(self, plan: Plan) -> bool:
        wanted = plan.min_confidence if self.request.any_confidence else self.request.min_confidence
        return (plan.source, plan.adapter, plan.min_confidence, plan.model_version) == (
            self.source.uri,
            self.request.adapter,
            wanted,
            self.settings.model_version,
        )

    def _draft(self, found: Discovery, *, number: int, writer: Writer | None) -> Plan:
        asked = Asked(
            settings=self.settings,
            request=self.request,
            source_uri=self.source.uri,
            question=self.question,
            published=self.published,
            s3=self.s3,
        )
        return Draft(asked, found, number=number, writer=writer).finish()
