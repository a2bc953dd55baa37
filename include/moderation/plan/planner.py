"""Makes the plan of a run: which pictures, in which manifests, at what price, and whose they are.

Everything that can happen twice (two runs at once, a retry, a run cleared and run again) is settled here,
under one lock in S3: a picture is in one open plan at a time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

from moderation.plan import claims
from moderation.plan.discovery import Discovery, discover
from moderation.plan.draft import Asked, Draft, Writer
from moderation.plan.keeping import Keeper, Lives
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
)
from moderation.settings import Settings
from moderation.sources import positions
from moderation.sources.base import Source, SourceError
from moderation.sources.gone import Looked
from moderation.sources.open import open_source
from moderation.sources.positions import Position
from moderation.storage import s3_objects, scratch
from moderation.tables import register
from moderation.variables.machine import MachineSettings

if TYPE_CHECKING:
    from moderation.sources.decoding.staging import Staging

log = logging.getLogger(__name__)

Mark = Callable[[Settings, Looked], None]
"""Keeps what a listing showed of images that are known."""

Settle = Callable[[Plan], object]
"""Publishes what was paid for with a plan of the same run that is not gone on with."""


def make_plan(
    settings: Settings,
    request: PlanRequest,
    *,
    published: PublishedReader,
    dry_run: bool = False,
    mark: Mark | None = None,
    lives: Lives | None = None,
    settle: Settle | None = None,
) -> Plan:
    """Plan a run, or give back its plan that still waits to be published.

    :param published: gives the rows of all published loads; ``moderation.tables.ledger.known.stream_known``.
    :param dry_run: plan and price only; nothing is uploaded, written, marked or claimed.
    :param mark: keeps which images are gone at the source, before the plan is; `publish.gone.mark`.
    :param lives: tells of other runs whether they go on: then their pictures stay theirs although their
        claims have run out. None where nobody can tell.
    :raises PlanError: the request or the source cannot be used; s3.S3Error: S3 refuses;
        lease.LeaseBusy: another run was planning all the time; lease.LeaseLost: planning took too long.
    """
    try:
        source = open_source(request.source)
        with s3_objects.open_client(settings, connections=settings.inspect_threads + 4) as s3:
            keeper = Keeper(settings, s3, published, lives)
            return _Planner(request, source, keeper, mark, settle).plan(dry_run=dry_run)
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


class _Planner:
    def __init__(
        self,
        request: PlanRequest,
        source: Source,
        keeper: Keeper,
        mark: Mark | None,
        settle: Settle | None,
    ) -> None:
        self.request, self.source, self.keeper, self.mark = request, source, keeper, mark
        self.settle = settle
        self.settings, self.s3 = keeper.settings, keeper.s3
        self.question = Question(
            self.settings.model_version,
            request.adapter,
            request.min_confidence,
            retry_refused=source.retry_refused,
            older_share=request.older_share,
            any_confidence=request.any_confidence,
        )
        self.published = None if request.force else keeper.published

    def plan(self, *, dry_run: bool) -> Plan:
        if not dry_run and (existing := self._resume()):
            return existing
        with scratch.folder(None, "plan") as folder, self._staging(dry_run=dry_run) as staging:
            found = discover(
                self.settings,
                self.s3,
                self.source,
                question=self.question,
                published=self.published,
                inspect=self.request.inspect,
                dry_run=dry_run,
                folder=folder,
                since=self._since(),
                staging=staging,
            )
            if dry_run:
                return self._draft(found, number=0, writer=None)
            if self.mark and found.looked:
                self.mark(self.settings, found.looked)
            return self._store(found)

    def _staging(self, *, dry_run: bool) -> AbstractContextManager[Staging | None]:
        if not MachineSettings.from_env().transcode:
            return nullcontext()
        from moderation.sources.decoding.staging import Staging  # noqa: PLC0415 - needs Pillow

        return Staging(self.settings, self.s3, self.request.run_key, dry_run=dry_run)

    def _since(self) -> Position | None:
        """How far a source that tells of changes was read; who analyses all of it again reads it whole."""
        if not self.published or not self.source.tells_changes:
            return None
        uri = positions.uri_of(
            self.settings,
            self.source.uri,
            model_version=self.settings.model_version,
            adapter=self.request.adapter,
            min_confidence=self.request.min_confidence,
        )
        return positions.read(self.s3, uri)

    def _store(self, found: Discovery) -> Plan:
        with self.keeper.lock_of_run(self.request.run_key) as held:
            # Another attempt of this very run may have planned while this one was listing.
            if existing := find_open_plan(self.settings, self.request.run_key, s3=self.s3):
                return existing
            self.keeper.renew_living(but=self.request.run_key)
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
        with self.keeper.lock_of_run(self.request.run_key):
            if is_closed(plan, s3=self.s3):
                return None
            self.keeper.renew_living(but=self.request.run_key)
            if self._asks_the_same(plan) and self.keeper.holds(plan, self.question):
                claims.write(self.s3, self.settings, plan)
                log.info("going on with %s", plan.uri)
                return plan
            log.warning("%s is abandoned: its images were taken by others, or more is asked now", plan.uri)
            if not claims.is_paying(self.s3, self.settings, plan):
                close(plan, "abandoned", s3=self.s3)
                claims.drop(self.s3, self.settings, plan)
                return None
            close(plan, "settled", s3=self.s3)
        if self.settle:
            self.settle(plan)
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
