"""What an archive has cost by calendar month, and what is to come at its pace and within its budgets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from moderation.archive.backfill.spend import begin_of_day, begin_of_month
from moderation.archive.backfill.state import (
    DONE,
    ENDED,
    PARKED,
    PAUSED,
    STOPPED,
    Archive,
    Chunk,
    moment,
)
from moderation.plan.price import tiers_of
from moderation.reference import prices
from moderation.settings import Settings

_MOST_PERIODS = 3_660
"""Days or months looked ahead: ten years where a day has a budget."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """A calendar month of an archive, in its time zone.

    :param month: ``2026-11``.
    :param paid_usd: of chunks that ended in it, as published; ``billed`` images.
    :param to_come_usd: at most, of ``to_come`` images: the account's other images make these cheaper.
    """

    month: str
    billed: int
    paid_usd: float
    to_come: int
    to_come_usd: float


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """The months so far and to come.

    :param ends: when nothing is left; None where nothing is to come, or it takes longer than is looked ahead.
    """

    months: tuple[Month, ...]
    ends: datetime | None

    @property
    def to_come_usd(self) -> float:
        """Of all months."""
        return sum(month.to_come_usd for month in self.months)


def forecast(settings: Settings, archive: Archive, *, pace: float, now: datetime) -> Forecast:
    """What the archive's own file says of the months behind, and what follows for those ahead.

    :param pace: images a second.
    """
    billed, paid = _so_far(archive)
    ahead = _Ahead(settings, archive, pace, now.astimezone(archive.options.zone()))
    to_come: defaultdict[str, int] = defaultdict(int)
    costs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for month, images, cost in ahead.periods():
        to_come[month] += images
        costs[month] += cost
    names = sorted({*billed, *paid, *to_come})
    months = tuple(
        Month(
            month=name,
            billed=billed[name],
            paid_usd=paid[name],
            to_come=to_come[name],
            to_come_usd=float(costs[name]),
        )
        for name in names
    )
    return Forecast(months=months, ends=ahead.ends)


class _Ahead:
    """Images that are left, taken up day by day where a day has a budget, else month by month."""

    def __init__(self, settings: Settings, archive: Archive, pace: float, now: datetime) -> None:
        self.ends: datetime | None = None
        self._options, self._pace = archive.options, pace
        self._tiers = tiers_of(settings, archive.options.adapter)
        self._left = _left(archive)
        self._zone = archive.options.zone()
        self._at = now
        if archive.status == PAUSED and archive.paused_until:
            self._at = max(now, (moment(archive.paused_until) or now).astimezone(self._zone))
        self._billed, paid = _so_far(archive)
        self._paid = {name: Decimal(str(usd)) for name, usd in paid.items()}
        today = [
            chunk
            for chunk in archive.chunks
            if (ended := _ended(archive, chunk)) and ended.astimezone(self._zone).date() == self._at.date()
        ]
        self._today = Decimal(str(sum(chunk.cost_usd for chunk in today)))

    def periods(self) -> Iterator[tuple[str, int, Decimal]]:
        """Month, images and their price; ends when none is left, or no end is in sight."""
        daily = self._options.day_usd is not None
        for _ in range(_MOST_PERIODS):
            if not self._left or not self._pace:
                return
            start, end = self._at, _next(self._at, daily=daily)
            month = f"{start:%Y-%m}"
            before = self._billed[month]
            can = min(self._left, round(self._pace * _seconds(start, end)), self._within(month, before))
            cost = prices.cost_usd(can, tiers=self._tiers, already_this_month=before)
            self._billed[month] = before + can
            self._paid[month] = self._paid.get(month, Decimal(0)) + cost
            self._left, self._at, self._today = self._left - can, end, Decimal(0)
            if not self._left:
                self.ends = start.astimezone(UTC) + timedelta(seconds=can / self._pace)
            if can:
                yield month, can, cost

    def _within(self, month: str, before: int) -> int:
        """Images that the budgets still pay for; a chunk is begun that fits as a whole, or not."""
        limits = [
            Decimal(str(limit)) - spent
            for limit, spent in (
                (self._options.day_usd, self._today),
                (self._options.month_usd, self._paid.get(month, Decimal(0))),
            )
            if limit is not None
        ]
        if not limits:
            return self._left
        fit = prices.affordable(min(limits), tiers=self._tiers, already_this_month=before)
        if fit is None or fit >= self._left:
            return self._left
        return fit // self._options.chunk_images * self._options.chunk_images


def _so_far(archive: Archive) -> tuple[defaultdict[str, int], defaultdict[str, float]]:
    """Images that were billed, and US dollars, by month."""
    billed: defaultdict[str, int] = defaultdict(int)
    paid: defaultdict[str, float] = defaultdict(float)
    for chunk in archive.chunks:
        ended = _ended(archive, chunk)
        if ended and (chunk.billed or chunk.cost_usd):
            month = f"{ended.astimezone(archive.options.zone()):%Y-%m}"
            billed[month] += chunk.billed
            paid[month] += chunk.cost_usd
    return billed, paid


def _left(archive: Archive) -> int:
    """Images of chunks that will be begun as things stand; of a stopped archive, those under way."""
    if archive.status == ENDED:
        return 0
    return sum(
        chunk.images
        for chunk in archive.chunks
        if chunk.is_under_way or (archive.status != STOPPED and chunk.status not in (DONE, PARKED))
    )


def _ended(archive: Archive, chunk: Chunk) -> datetime | None:
    """When what it cost was paid, as far as the file tells."""
    return moment(chunk.ended_at or chunk.asked_at or archive.created_at)


def _next(at: datetime, *, daily: bool) -> datetime:
    """The next midnight, or that of the next month's first day, in the time's own zone."""
    return (
        begin_of_day(at) + timedelta(days=1)
        if daily
        else begin_of_month(begin_of_month(at) + timedelta(days=32))
    )


def _seconds(start: datetime, end: datetime) -> float:
    """Between two times of one zone, whose clocks may be changed meanwhile."""
    return (end.astimezone(UTC) - start.astimezone(UTC)).total_seconds()
