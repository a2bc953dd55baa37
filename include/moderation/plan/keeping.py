"""Whose a plan's pictures are, from its making to its last payment.

A claim is renewed while its run lives: before each manifest that is to be paid for, by whoever looks at runs
regularly, and by any run that is about to take what nobody claims. So it runs out only when nobody has worked
on the run for ``MODERATION_CLAIM_HOURS``.
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
from moderation.plan.claims import Found
from moderation.plan.ledger import PublishedReader, Question
from moderation.plan.plan import Plan, PlanError
from moderation.plan.store import close, is_closed, is_over, load_plan, open_inputs
from moderation.settings import Settings
from moderation.sources.open import open_source
from moderation.storage import lease, s3_objects
from moderation.storage.row_file import PORTION_ROWS
from moderation.tables.ledger.layout import COLUMNS
from moderation.tables.source_ref_ranges import range_of

log = logging.getLogger(__name__)

Lives = Callable[[str, str], bool]
"""Whether a run, told by Dag and id, has not ended."""

_OLD, _CERTAIN = 0.25, 0.75
"""A claim is renewed after the first share of its hours; up to the second nobody else can believe that it has
run out, so no lock is needed for that."""

_TRIES = 3
"""A claim that another task of the run, or the conductor, renews at the same moment is looked at again."""

_OWN_LOCK_SECONDS = 20.0
"""After which the lock of an earlier try of the same run counts as left by a killed process: Airflow starts
the next try only when it believes that one dead."""


def renew_claim(
    plan: Plan, *, settings: Settings, published: PublishedReader, lives: Lives | None = None
) -> None:
    """Keep the plan's pictures for another ``MODERATION_CLAIM_HOURS``, for its run is about to pay for them.

    From here on they fall free only when what was paid for is published or given up.

    :param published: as for :func:`moderation.plan.planner.make_plan`; ``lives`` likewise.
    :raises PlanError: the claim ran out, and others took some of the pictures meanwhile;
        lease.LeaseBusy: another run was planning all the time.
    """
    with s3_objects.open_client(settings) as s3:
        for _ in range(_TRIES):
            found = claims.find(s3, settings, claims.uri_of(settings, plan))
            if not found or found.passed >= _CERTAIN:
                break
            if found.claim.paying and found.passed < _OLD:
                return
            if claims.renew(s3, found, paying=True):
                return
        keeper = Keeper(settings, s3, published, lives)
        with keeper.lock(f"{plan.run_key}, which keeps its claim"):
            keeper.renew_living(but=plan.run_key)
            keeper.renew(plan, paying=True)


def renew_of_living(s3: Any, settings: Settings, lives: Lives, *, published: PublishedReader) -> None:
    """Renew the claims of all runs that live; for whoever looks at runs regularly.

    What cannot be renewed now is left to the next look.
    """
    keeper = Keeper(settings, s3, published, lives)
    for found, plan in keeper.old_of_living():
        if found.passed < _CERTAIN:
            claims.renew(s3, found)
            continue
        try:
            with keeper.lock("whoever keeps claims", wait=1.0):
                keeper.renew(plan)
        except (PlanError, lease.LeaseBusy) as error:
            log.warning("%s", error)


@dataclass(frozen=True)
class Keeper:
    """Tells whose pictures a plan's are, and keeps them.

    :param published: None for a run that analyses again what is moderated.
    :param lives: None where nobody can tell: then a claim that ran out counts for nothing.
    """

    settings: Settings
    s3: Any
    published: PublishedReader | None
    lives: Lives | None = None

    def lock(
        self, owner: str, *, own_ttl: float | None = None, wait: float = 300.0
    ) -> AbstractContextManager[lease.Lease]:
        """The lock under which plans are made, and claims taken."""
        uri = s3_objects.join_uri(self.settings.work_uri, "locks", "plan.json")
        return lease.hold(self.s3, uri, owner=owner, own_ttl=own_ttl, wait=wait)

    def lock_of_run(self, run_key: str) -> AbstractContextManager[lease.Lease]:
        """The same, for a run that plans."""
        return self.lock(run_key, own_ttl=_OWN_LOCK_SECONDS)

    def holds(self, plan: Plan, question: Question | None = None) -> bool:
        """Whether the plan's pictures are still its own: claimed, or at least taken by nobody else.

        :param question: what is asked, where a run asks for more than its plan says.
        """
        if claims.is_held(self.s3, self.settings, plan):
            return True
        question = question or self._question(plan)
        others = claims.of_others(self.s3, self.settings, run_key=plan.run_key, question=question)
        published = None if plan.force else self.published
        with open_inputs(plan, s3=self.s3) as file, others as is_claimed, ExitStack() as stack:
            # After the claims: what leaves them in between is published by then.
            known = stack.enter_context(ledger.begun(published, self.settings)) if published else None
            for batch in file.iter_batches(PORTION_ROWS, columns=["source_ref", "etag"]):
                portion = pa.Table.from_batches([batch])
                taken = is_claimed(portion)
                if known:
                    between, names = range_of(portion["source_ref"]), portion["source_ref"]
                    rows = known(self.settings, COLUMNS, between=between, names=names)
                    taken = pc.or_(taken, ledger.already_moderated(portion, rows, question=question))
                if pc.any(taken, min_count=0).as_py():
                    return False
        return True

    def renew(self, plan: Plan, *, paying: bool = False) -> None:
        """Claim the plan's pictures anew. Only under the lock.

        :param paying: its run is about to pay for them.
        :raises PlanError: others took some of them.
        """
        if not self.holds(plan):
            raise PlanError(
                f"{plan.uri}: its claim ran out while it waited, and other runs took some of its "
                "images; clear the task discover with everything after it: it plans what is left"
            )
        claims.write(self.s3, self.settings, plan, paying=paying)

    def take_over(self, uri: str) -> Plan | None:
        """Take what a run that died has paid for: from here on nothing of its plan is asked any more.

        :param uri: of its claim.
        :returns: the plan, whose claim holds until its answers are published or given up; None when its run
            lives, or another has taken it, or it is published.
        :raises PlanError: claim or plan is damaged; lease.LeaseBusy: another run was planning all the time.
        """
        with self.lock("whoever publishes what was paid"):
            found = claims.find(self.s3, self.settings, uri)
            if not (found and found.has_lapsed and found.claim.paying):
                return None
            plan = load_plan(found.claim.plan_uri, s3=self.s3)
            if self.lives and plan.run_id and self.lives(plan.dag_id, plan.run_id):
                return None
            if is_over(plan, s3=self.s3):  # Killed before it could drop its claim.
                claims.drop(self.s3, self.settings, plan)
                return None
            close(plan, "settled", s3=self.s3)
            return plan if claims.renew(self.s3, found) else None

    def renew_living(self, *, but: str) -> None:
        """Renew the claims of runs that live, as far as nobody took their pictures. Only under the lock.

        :param but: key of the run that asks.
        """
        for _, plan in self.old_of_living():
            if plan.run_key != but and self.holds(plan):
                claims.write(self.s3, self.settings, plan)

    def old_of_living(self) -> list[tuple[Found, Plan]]:
        """The claims of runs that live, with their plans, that are to be renewed."""
        found = []
        for uri in claims.uris(self.s3, self.settings) if self.lives else ():
            try:
                claim = claims.find(self.s3, self.settings, uri)
                plan = load_plan(claim.claim.plan_uri, s3=self.s3) if claim and claim.passed >= _OLD else None
                if claim and plan and self._goes_on(plan):
                    found.append((claim, plan))
            except PlanError as error:  # A plan that was never finished, or damage: told where it matters.
                log.warning("%s", error)
        return found

    def _goes_on(self, plan: Plan) -> bool:
        if not (self.lives and plan.run_id and self.lives(plan.dag_id, plan.run_id)):
            return False
        return not is_closed(plan, s3=self.s3)

    def _question(self, plan: Plan) -> Question:
        return Question(
            self.settings.model_version,
            plan.adapter,
            plan.min_confidence,
            retry_refused=open_source(plan.source).retry_refused,
        )
