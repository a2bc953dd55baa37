"""What an archive costs month by month, and when it is done, for each way to work through it.

AWS's price steps count the images of a calendar month, and the nightly runs fill them too. So the same images
cost less the fewer months they are spread over, and a start on the first of a month can be cheaper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from moderation.errors import NeedsAPersonError
from moderation.plan.price import tiers_of
from moderation.reference import limits, prices
from moderation.reference.prices import PriceTier
from moderation.settings import Settings

_STARTS = 3
"""Today and the first of so many months less one are tried."""
_MOST_MONTHS = 1_200


class CannotBePlannedError(NeedsAPersonError, ValueError):
    """There is no way to work through the archive; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Month:
    """One calendar month, UTC, of an archive's work.

    :param month: ``2026-11``.
    :param images: of the archive, analysed in it.
    :param cost_usd: what they add to the month's bill.
    """

    month: str
    images: int
    cost_usd: Decimal


@dataclass(frozen=True, kw_only=True)
class Way:
    """One way to work through an archive.

    :param backend: ``bulk``, ``detect`` or ``both``, which then share the work.
    :param images_per_second: what the account's quotas leave for the archive.
    """

    backend: str
    begins: datetime
    ends: datetime
    images_per_second: float
    months: tuple[Month, ...]

    @property
    def cost_usd(self) -> Decimal:
        """Of all months."""
        return sum((month.cost_usd for month in self.months), Decimal(0))


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What else the account is billed for.

    :param this_month: images billed since the first of the month.
    :param a_day: images that the nightly runs will take each day.
    """

    this_month: int = 0
    a_day: float = 0.0


def ways(
    settings: Settings, images: int, *, adapter: str | None, now: datetime, beside: Beside
) -> tuple[Way, ...]:
    """Every way, by each backend that the region has, begun today or on the first of the next two months.

    :param images: to be paid for.
    :raises CannotBePlannedError: the nightly runs take all that the quotas allow.
    """
    allowed = paces(settings)
    nightly = beside.a_day / 86_400
    left = {backend: pace - nightly for backend, pace in allowed.items() if pace > nightly}
    if not left:
        raise CannotBePlannedError(
            f"the nightly runs take {beside.a_day:,.0f} images a day, and the quotas allow "
            f"{max(allowed.values()) * 86_400:,.0f}; raise the quotas, or say less with --nightly"
        )
    tiers = tiers_of(settings, adapter)
    starts = [now.astimezone(UTC)]
    while len(starts) < _STARTS:
        starts.append(_next_month(starts[-1]))
    return tuple(
        _Work(pace, images, now.astimezone(UTC), tiers, beside).way(backend, begins)
        for backend, pace in left.items()
        for begins in starts
    )


def paces(settings: Settings) -> dict[str, float]:
    """Images a second that the account's quotas allow, by each backend that the region has."""
    quotas = limits.quotas(settings.region)
    slots = settings.bulk_concurrent_jobs or quotas.bulk_concurrent_jobs
    bulk, detect = slots * settings.bulk_job_images_per_second, settings.detect_tps or quotas.detect_tps
    return {"bulk": bulk, "detect": detect, "both": bulk + detect} if slots else {"detect": detect}


def fastest(found: Sequence[Way]) -> Way:
    """The one that ends first; of equals the cheaper."""
    return min(found, key=lambda way: (way.ends, way.cost_usd))


def cheapest(found: Sequence[Way]) -> Way:
    """The one that costs least; of equals the one that ends first."""
    return min(found, key=lambda way: (way.cost_usd, way.ends))


@dataclass(frozen=True)
class _Work:
    """So many images at one pace, beside what else is billed."""

    pace: float
    images: int
    now: datetime
    tiers: Sequence[PriceTier]
    beside: Beside

    def way(self, backend: str, begins: datetime) -> Way:
        months = tuple(self._months(begins))  # First: it refuses what ends beyond all dates.
        ends = begins + timedelta(seconds=self.images / self.pace)
        return Way(backend=backend, begins=begins, ends=ends, images_per_second=self.pace, months=months)

    def _months(self, begins: datetime) -> Iterator[Month]:
        left, start = self.images, begins
        for _ in range(_MOST_MONTHS):
            if not left:
                return
            end = _next_month(start)
            done = min(left, round(self.pace * (end - start).total_seconds()))
            yield Month(month=f"{start:%Y-%m}", images=done, cost_usd=self._adds(done, start, end))
            left, start = left - done, end
        raise CannotBePlannedError(
            f"{self.images:,} images at {self.pace:,.2f} a second take more than a hundred years"
        )

    def _adds(self, images: int, start: datetime, end: datetime) -> Decimal:
        """What these images add to the bill of the month that ``start`` is in, and that ends with ``end``."""
        first = start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        nightly = round(self.beside.a_day * (end - max(first, self.now)).total_seconds() / 86_400)
        before = self.beside.this_month if first <= self.now else 0
        both = prices.cost_usd(nightly + images, tiers=self.tiers, already_this_month=before)
        return both - prices.cost_usd(nightly, tiers=self.tiers, already_this_month=before)


def _next_month(moment: datetime) -> datetime:
    first = moment.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return (first + timedelta(days=32)).replace(day=1)
