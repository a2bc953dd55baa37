"""How far an archive is: images, pace, when it ends, what it has cost and what is to come."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from moderation.archive.backfill.forecast import Month, forecast
from moderation.archive.backfill.state import DONE, Archive, ArchiveError, moment
from moderation.archive.schedule import paces
from moderation.plan.price import tiers_of
from moderation.reference import prices
from moderation.settings import Settings

_LATELY = timedelta(days=2)
"""The pace is that of the chunks that ended so lately before the last one."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Figures of an archive.

    :ivar done: images of chunks that have ended, the parked ones not among them.
    :ivar images_per_second: waiting between chunks included; 0.0 when none has ended.
    :ivar ends: ISO text; "" when nothing is to come, or no end is in sight. Before a chunk has ended it goes
        by the account's quotas.
    :ivar to_come_usd: at most: the account's other images of a month make these cheaper.
    :ivar codes: images without answer, by code.
    :ivar points: when each chunk had ended, and images done by then.
    """

    images: int
    done: int
    images_per_second: float
    ends: str
    paid_usd: float
    to_come_usd: float
    codes: dict[str, int]
    points: list[tuple[str, int]]
    months: tuple[Month, ...]


def of(settings: Settings, archive: Archive, *, now: datetime | None = None) -> Progress:
    """The figures, from the archive's own file."""
    ended = sorted(
        (chunk for chunk in archive.chunks if chunk.status == DONE), key=lambda chunk: chunk.ended_at
    )
    points: list[tuple[str, int]] = []
    done = 0
    for chunk in ended:
        done += chunk.images
        points.append((chunk.ended_at, done))
    codes: Counter[str] = Counter()
    for chunk in archive.chunks:
        codes.update(chunk.codes)
    pace = _pace(archive)
    ahead = forecast(
        settings, archive, pace=pace or _allowed(settings, archive), now=now or datetime.now(UTC)
    )
    return Progress(
        images=archive.images,
        done=done,
        images_per_second=pace,
        ends=ahead.ends.isoformat(timespec="seconds") if ahead.ends else "",
        paid_usd=sum(chunk.cost_usd for chunk in archive.chunks),
        to_come_usd=ahead.to_come_usd,
        codes=dict(codes.most_common()),
        points=points,
        months=ahead.months,
    )


def check_budget(settings: Settings, archive: Archive) -> None:
    """Refuse a budget that would never let the chunks begin that are not over.

    :raises ArchiveError: the text says how large chunks may be, or how much they cost.
    """
    options = archive.options
    limits = [limit for limit in (options.day_usd, options.month_usd) if limit is not None]
    left = [chunk.images for chunk in archive.chunks if chunk.status != DONE]
    if not limits or not left:
        return
    tiers = tiers_of(settings, options.adapter)
    largest = max(left)
    price = float(prices.cost_usd(largest, tiers=tiers))
    if price > min(limits):
        fits = max(1, int(largest * min(limits) / price))
        begun = any(chunk.tries for chunk in archive.chunks)
        remedy = "say a larger budget" if begun else f"say --chunk-images {fits}, or a larger budget"
        raise ArchiveError(
            f"a chunk of {largest:,} images costs {price:,.2f} USD, above the {min(limits):,.2f} that may "
            f"be spent: none would ever begin; {remedy}"
        )


def _allowed(settings: Settings, archive: Archive) -> float:
    """Images a second that the quotas allow its backend."""
    allowed = paces(settings)
    wanted = archive.options.backend
    return allowed.get("bulk" if wanted == "auto" else wanted, allowed["detect"])


def _pace(archive: Archive) -> float:
    """Images a second, waiting between chunks included; 0.0 when nothing has ended."""
    spans = [
        (moment(chunk.began_at), moment(chunk.ended_at), chunk.images)
        for chunk in archive.chunks
        if chunk.status == DONE
    ]
    known = [(began, ended, images) for began, ended, images in spans if began and ended]
    if not known:
        return 0.0
    last = max(ended for _, ended, _ in known)
    lately = [(began, ended, images) for began, ended, images in known if ended >= last - _LATELY]
    first = min((began for began, _, _ in lately), default=datetime.now(UTC))
    seconds = (last - first).total_seconds()
    return sum(images for _, _, images in lately) / seconds if seconds > 0 else 0.0
