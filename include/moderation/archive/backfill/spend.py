"""What has been paid, by day and month, as published; and what is under way, at its greatest price."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from moderation.archive.backfill.state import PARKED, Archive, Chunk, moment
from moderation.plan.price import tiers_of
from moderation.reference import prices
from moderation.settings import Settings

_LONGEST_RUN = timedelta(days=14)
"""A job that ended this month belongs to a run of at most so long ago: by its day files are left out."""


class Billed(NamedTuple):
    """Images of a run that were billed, and when their job had ended."""

    run_key: str
    ended: datetime
    images: int


@dataclass(frozen=True)
class Ledger:
    """Every published job that ended since the month before this one.

    :ivar jobs: of all runs of the account, the nightly ones among them.
    """

    jobs: tuple[Billed, ...] = ()
    runs: Mapping[str, int] = field(default_factory=dict)

    def images(self, since: datetime, keys: Iterable[str] | None = None) -> int:
        """Images billed since then; of these runs, or of all."""
        wanted = None if keys is None else set(keys)
        return sum(
            job.images
            for job in self.jobs
            if job.ended >= since and (wanted is None or job.run_key in wanted)
        )


@dataclass(frozen=True)
class Spent:
    """US dollars of an archive, of this day and this month in its time zone.

    :param under_way: what chunks that have no published load yet cost at most, on top of both.
    """

    day_usd: float
    month_usd: float
    under_way: float


def read(settings: Settings, now: datetime) -> Ledger:
    """What the tables say."""
    from moderation.schema import JOBS  # noqa: PLC0415 - Iceberg is slow to import
    from moderation.tables.catalog import load_table, open_catalog  # noqa: PLC0415
    from moderation.tables.published import loads_in, scan  # noqa: PLC0415

    since = (begin_of_month(now) - timedelta(days=1) - _LONGEST_RUN).date()
    with open_catalog(settings) as catalog:
        loads = loads_in(catalog)
        pairs = zip(loads.column("load_id").to_pylist(), loads.column("run_key").to_pylist(), strict=True)
        run_of = dict(pairs)
        batches = scan(
            load_table(catalog, JOBS),
            JOBS,
            ["load_id", "completed_at", "billed"],
            load_ids=set(run_of),
            where=f"dt >= '{since.isoformat()}'",
        )
        jobs: list[Billed] = []
        runs: defaultdict[str, int] = defaultdict(int)
        for batch in batches:
            for load_id, ended, billed in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                runs[run_of[load_id]] += billed or 0
                if ended is not None and billed:
                    jobs.append(Billed(run_of[load_id], ended, billed))
    return Ledger(tuple(jobs), runs)


def begin_of_day(now: datetime) -> datetime:
    """The midnight before, in the time's own zone."""
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def begin_of_month(now: datetime) -> datetime:
    """The midnight that began the month, in the time's own zone."""
    return begin_of_day(now).replace(day=1)


def spent(settings: Settings, archive: Archive, ledger: Ledger, *, now: datetime) -> Spent:
    """What an archive has cost: at the prices of the tiers that the account has reached this month."""
    zone = archive.options.zone()
    day, month = begin_of_day(now.astimezone(zone)), begin_of_month(now.astimezone(zone))
    keys = [archive.run_key(chunk) for chunk in archive.chunks]
    account = ledger.images(month)
    of_day, of_month = ledger.images(day, keys), ledger.images(month, keys)
    tiers = tiers_of(settings, archive.options.adapter)

    def price(images: int, before: int) -> float:
        return float(prices.cost_usd(images, tiers=tiers, already_this_month=before))

    held = sum(_held(archive, chunk, ledger, day, zone) for chunk in archive.chunks)
    return Spent(
        day_usd=price(of_day, account - of_day),
        month_usd=price(of_month, account - of_month),
        under_way=price(held, account),
    )


def price_of(settings: Settings, archive: Archive, images: int, ledger: Ledger, *, now: datetime) -> float:
    """US dollars that these images cost at most, after what is billed and under way this month."""
    zone = archive.options.zone()
    before = ledger.images(begin_of_month(now.astimezone(zone)))
    tiers = tiers_of(settings, archive.options.adapter)
    return float(prices.cost_usd(images, tiers=tiers, already_this_month=before))


def _held(archive: Archive, chunk: Chunk, ledger: Ledger, day: datetime, zone: ZoneInfo) -> int:
    """Images of a chunk that may be paid, or be paid soon, without a published job that says so."""
    asked: Any = moment(chunk.asked_at)
    lately = asked is not None and asked.astimezone(zone) >= day
    if chunk.is_under_way or (chunk.status == PARKED and lately):
        return max(0, chunk.images - ledger.runs.get(archive.run_key(chunk), 0))
    return 0
