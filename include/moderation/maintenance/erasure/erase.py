"""An erasure from the first note to the receipt; killed at any step, it is finished by the same request.

What tells where an image is goes last in each place, and each place is looked through by itself: so no step
needs to know whether another one was done before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from moderation.errors import WarehouseError
from moderation.maintenance import compaction
from moderation.maintenance.erasure import places, receipt, steps
from moderation.maintenance.erasure.archives import erase_in_archives
from moderation.maintenance.erasure.counts import recount
from moderation.maintenance.erasure.ledger import erase_in_ledger
from moderation.maintenance.erasure.plans import Held, Plans, Told
from moderation.maintenance.erasure.receipt import Receipt
from moderation.maintenance.erasure.reports import draw_again, erase_in_reports
from moderation.maintenance.erasure.tables import LoadTables
from moderation.maintenance.erasure.wanted import Wanted, contents_of
from moderation.maintenance.standing import forget_what_was
from moderation.plan.plan import Plan
from moderation.publish.gone import forget_gone
from moderation.settings import Settings
from moderation.storage import lease, s3_objects, tombstones
from moderation.storage.files import Storage
from moderation.storage.tombstones import DONE
from moderation.tables.catalog import open_catalog
from moderation.tables.published import known_load_ids
from moderation.tables.standing import GONE
from moderation.warehouses.configured import ConnectionUri, each

_KEEP_SECONDS = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """Images that are asked for, as far as plans and tables know them.

    :param wanted: the request, with the keys of images that were asked for by another name of theirs.
    :param rows: of `images`: their columns that say which image it is.
    :param refs: every key of them, those of plans too; also of which other versions stay.
    :param contents: of them all.
    """

    wanted: Wanted
    rows: pa.Table
    refs: frozenset[str]
    contents: frozenset[str]
    plans: tuple[tuple[Plan, Held], ...] = ()

    @property
    def pairs(self) -> frozenset[tuple[str, str | None]]:
        """Keys and ETags of what the tables have of them."""
        return frozenset(zip(self.rows["source_ref"].to_pylist(), self.rows["etag"].to_pylist(), strict=True))


@dataclass
class Elsewhere:
    """What rooms beside the pipeline have erased.

    :ivar counts: by the names of `receipt.WENT`.
    :ivar adapters: ARNs of those that were trained on an image and cannot unlearn.
    :ivar left: sentences about what still names one.
    :ivar later: what is to be done by hand.
    """

    counts: dict[str, int] = field(default_factory=dict)
    adapters: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    later: tuple[str, ...] = ()


EraseElsewhere = Callable[[Found], Elsewhere]
"""Erases images in what people decided, in adapters, and in caches; may be repeated."""


def look(settings: Settings, wanted: Wanted, *, abandon: bool = False) -> Found:
    """What an erasure would concern; nothing is changed.

    :raises plans.OpenRunError: a run that is under way holds an image.
    """
    with _opened(settings) as work:
        found = work.find(wanted)
        work.prove_closed(found, abandon=abandon, only_look=True)
        return found


def erase(
    settings: Settings,
    wanted: Wanted,
    *,
    elsewhere: EraseElsewhere,
    abandon: bool = False,
    connection_uri: ConnectionUri | None = None,
) -> Receipt:
    """Erase images wherever the product has written about them; may be repeated, also after a kill.

    :param abandon: give up runs that wait to go on with one of them.
    :raises plans.OpenRunError: a run that is under way holds one of them; later runs leave them out already.
    :raises lease.LeaseBusy: a compaction, a rebuild or another erasure is under way.
    :raises TablesError, PlanError, S3Error: something cannot be read or written; what was done stays done.
    """
    with compaction.maintenance(settings, "erase") as renew, _opened(settings, renew) as work:
        return work.run(wanted, elsewhere, abandon=abandon, connection_uri=connection_uri)


@contextmanager
def _opened(settings: Settings, renew: Callable[[], None] = lambda: None) -> Iterator[_Work]:
    with (
        s3_objects.open_client(settings) as s3,
        Storage(settings) as storage,
        open_catalog(settings) as catalog,
        lease.hold(s3, s3_objects.join_uri(settings.work_uri, "locks", "erase.json"), owner="erase") as held,
    ):
        yield _Work(settings, s3, storage, catalog, held, renew)


@dataclass
class _Work:
    settings: Settings
    s3: Any
    storage: Storage
    catalog: Catalog
    held: lease.Lease
    renew: Callable[[], None]

    def __post_init__(self) -> None:
        self.tables = LoadTables(self.settings, self.catalog, self.storage, self.keep)
        self._kept = time.monotonic()

    def keep(self) -> None:
        """Show those who wait for the locks that this goes on; cheap when called often."""
        if time.monotonic() - self._kept > _KEEP_SECONDS:
            self.held.renew()
            self.renew()
            self._kept = time.monotonic()

    def find(self, wanted: Wanted) -> Found:
        rows = self.tables.find(wanted)
        by_key = replace(wanted, contents=frozenset())
        named = wanted.with_keys(_named(rows.filter(by_key.mask(rows))))
        holding = tuple(self._plans(named).holding())
        for _, held in holding:
            named = named.with_keys(_named(held.gone.filter(by_key.mask(held.gone))))
        refs = named.keys | _named(rows)
        told = [contents_of(rows["source_ref"], rows["etag"], rows["size_bytes"])]
        for _, held in holding:
            refs |= _named(held.gone)
            told.append(contents_of(*(held.gone[name] for name in ("source_ref", "etag", "size"))))
        contents = wanted.contents.union(*(one.to_pylist() for one in told))
        return Found(named, rows, refs, contents, holding)

    def prove_closed(self, found: Found, *, abandon: bool, only_look: bool = False) -> None:
        """See `Plans.prove_closed`; those of archives likewise."""
        for plan, held in found.plans:
            if held:
                self._plans(Wanted()).prove_closed(plan, abandon=abandon, only_look=only_look)
        erase_in_archives(self.s3, self.settings, found.wanted, self.keep, only_look=True)

    def run(
        self,
        wanted: Wanted,
        elsewhere: EraseElsewhere,
        *,
        abandon: bool,
        connection_uri: ConnectionUri | None,
    ) -> Receipt:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._planning_waits():
            # From here on no plan is made of them; those made before are seen below.
            self.erasure = tombstones.begin(self.s3, self.settings, wanted.keys, wanted.contents, at=now)
        steps.reached("noted")
        found = self.find(wanted)
        self.prove_closed(found, abandon=abandon)
        loads = {*found.rows["load_id"].to_pylist(), *(plan.load_id for plan, held in found.plans if held)}
        self._note(loads=tuple(sorted({*self.erasure.loads, *loads})), status=tombstones.OPEN)
        if more := found.wanted.keys - wanted.keys:
            self.erasure = tombstones.extend(self.s3, self.settings, self.erasure, more)
        steps.reached("found")
        others = elsewhere(found)
        self._count(others.counts)
        steps.reached("elsewhere")
        self._erase_texts(found)
        told = self._erase_plans(found)
        self._erase_rows(found, told)
        left = [*others.left, *self._warehouses(connection_uri)]
        if (
            problem := draw_again(self.settings, self._published())
            if self.erasure.counts.get("reports")
            else None
        ):
            left.append(problem)
        return self._receipt(found, others, left)

    # -- the steps

    def _erase_texts(self, found: Found) -> None:
        keep = self.keep
        self._count({"uploads": places.erase_uploads(self.s3, self.settings, found.refs)})
        self._count({"spool": places.erase_spooled(found.refs)})
        steps.reached("uploads and spool")
        self._count({"chunks": erase_in_archives(self.s3, self.settings, found.wanted, keep)})
        steps.reached("archives")
        self._count({"reports": erase_in_reports(self.s3, self.settings, found.refs, keep)})
        steps.reached("reports")
        self._erase_entries(found)

    def _erase_entries(self, found: Found) -> None:
        keys, pairs = found.wanted.keys, found.pairs
        self._count({"ledger": erase_in_ledger(self.s3, self.settings, keys, pairs, self.keep)})
        self._count({"gone": forget_gone(self.settings, found.refs)})
        forget_what_was(self.settings, GONE)  # also of a try that was killed before it
        steps.reached("gone")

    def _erase_plans(self, found: Found) -> dict[str, Told]:
        plans = self._plans(found.wanted)
        published = self._published()
        told: dict[str, Told] = {}
        for plan, held in found.plans:
            if plan.load_id in self.erasure.loads:
                changed = plans.erase(plan, held)
                self._count({"plans": 1 if held else 0})
                if plan.load_id in published:
                    told[plan.load_id] = plans.told(changed)
        self._count({"leftovers": plans.leftovers()})
        steps.reached("plans")
        return told

    def _erase_rows(self, found: Found, told: dict[str, Told]) -> None:
        self._count(self.tables.erase(found.rows, found.wanted.keys))
        self._erase_entries(found)  # an update of the ledger may have read them before
        recount(self.tables, self.erasure.loads, told)
        steps.reached("counted")
        removed = self.tables.forget_what_was(
            list(self.erasure.files), lambda files: self._note(files=tuple(files))
        )
        self._count({"old_files": removed})

    def _warehouses(self, connection_uri: ConnectionUri | None) -> list[str]:
        left, done, loads = [], 0, self._published()
        for kind, make in each(self.settings, connection_uri=connection_uri):
            self.keep()
            try:
                make().erase(loads)
                done += 1
            except WarehouseError as error:
                left.append(f"the warehouse {kind} was not reached: {error}; run the same command again")
            steps.reached(f"warehouse {kind}")
        self._note(counts=self.erasure.counts | {"warehouses": done})
        return left

    def _receipt(self, found: Found, others: Elsewhere, left: list[str]) -> Receipt:
        # A key of which only a content was asked for may stand for another content now.
        stays = _named(self.tables.find(Wanted(found.refs))) - found.wanted.keys
        searched, still = places.search(
            self.s3, self.settings, found.refs - stays, found.wanted.contents, self.keep
        )
        left += still
        if not left:
            self._note(status=DONE, files=())
        sources = len(
            [ref for ref in found.refs if not ref.startswith(self.settings.input_uri + "/uploads/")]
        )
        made = receipt.of(
            self.erasure,
            ended_at=datetime.now(UTC).isoformat(timespec="seconds"),
            images=self.erasure.counts.get("images", 0),
            left=left,
            searched=searched,
            to_do=[
                *others.later,
                *receipt.unreachable(
                    self.settings, sources=sources, adapters=others.adapters, loads=self._published()
                ),
            ],
        )
        receipt.keep(self.s3, self.settings, made)
        steps.reached("receipt")
        return made

    # -- what it goes by

    def _published(self) -> list[str]:
        """The loads that readers know, of those that have lost images."""
        return sorted(known_load_ids(self.catalog) & set(self.erasure.loads))

    def _plans(self, wanted: Wanted) -> Plans:
        return Plans(self.settings, self.s3, self.storage, wanted, self.keep)

    @contextmanager
    def _planning_waits(self) -> Iterator[None]:
        uri = s3_objects.join_uri(self.settings.work_uri, "locks", "plan.json")
        with lease.hold(self.s3, uri, owner="erase"):
            yield

    def _note(self, **changes: Any) -> None:
        changed = replace(self.erasure, **changes)
        if changed != self.erasure:
            self.erasure = tombstones.write(self.s3, self.settings, changed)

    def _count(self, more: dict[str, int]) -> None:
        counts = dict(self.erasure.counts)
        for name, number in more.items():
            counts[name] = counts.get(name, 0) + number
        self._note(counts={name: number for name, number in counts.items() if number})


def _named(rows: pa.Table) -> set[str]:
    return set(rows.column("source_ref").to_pylist())
