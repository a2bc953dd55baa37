"""All numbers in one call.

``numbers(frames)`` or ``numbers_of(settings)`` give `Numbers`: ``rows`` has one row a number, as the
published table `review_numbers` (`NUMBERS` here): measure, value, interval, n, k, method, or the reason why
it is not measurable.
``pick`` finds those of a page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from functools import reduce
from itertools import chain
from operator import and_
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from moderation.policy.thresholds import in_use
from moderation.query.published_views import open_published
from moderation.review.state.database import few
from moderation.review.statistics.agreement import alpha, people, seconds_a_decision
from moderation.review.statistics.counts import KEYS, SLICES, counts
from moderation.review.statistics.frames import Frames
from moderation.review.statistics.judged import frames_of
from moderation.review.statistics.rates import aws_rates, rates
from moderation.review.statistics.samples import EVERYTHING, Samples, Side, estimated, key_of
from moderation.review.statistics.training import Needed, toward
from moderation.schema import physical_schema
from moderation.settings import Settings
from moderation.tables.standing import REVIEW_NUMBERS

NUMBERS = physical_schema(REVIEW_NUMBERS)
"""Columns of a number, those of the published table."""

THRESHOLDS = (*range(5, 95, 5), *range(95, 100))
"""Confidences at which precision and recall are told, as far as they were asked for."""

_ROWS = 5_000
_ABOUT = (*KEYS, "label", "level", "content_type", "load_id", "week", "first_week", "last_week")


@dataclass(frozen=True)
class Numbers:
    """Everything that the verdicts tell.

    :param rows: as `NUMBERS`. Measures: ``tp fp fn tn unsure not_verified`` (counts), ``precision``,
        ``missed_share``, ``missed``, ``recall``, ``aws_false_positive_rate``, ``aws_false_negative_rate``,
        ``precision_at`` and ``recall_at`` (at the row's ``threshold``), ``alpha``.
    :param people: a dict for each reviewer, see `agreement.people`.
    :param training: a dict for each label, see `training.toward`.
    """

    rows: pa.Table
    people: list[dict[str, Any]] = field(default_factory=list)
    training: list[dict[str, Any]] = field(default_factory=list)

    def pick(self, *measures: str, **columns: Any) -> list[dict[str, Any]]:
        """Rows of these measures whose columns have these values; a column not named must be null if it can
        be
        ``content_type``, ``week`` or ``load_id``.
        """
        wanted = {"content_type": None, "week": None, "load_id": None} | columns
        conditions = [pc.field("measure").isin(measures)] if measures else []
        conditions += [
            pc.field(name).is_null() if value is None else pc.field(name) == value
            for name, value in wanted.items()
        ]
        return list(self.rows.filter(reduce(and_, conditions)).to_pylist())


def numbers(
    frames: Frames,
    *,
    now: datetime | None = None,
    by_copies: bool = False,
    pseudonyms: bool = False,
    needed: Needed | None = None,
) -> Numbers:
    """Every number that the frames tell.

    :param now: what ``computed_at`` says; the present by default.
    :param by_copies: weigh each content by the keys that hold it.
    :param pseudonyms: instead of reviewers' names.
    :param needed: of each label before it can be trained.
    """
    now = now or datetime.now(UTC)
    counted = counts(frames, by_copies=by_copies)
    samples = Samples(frames, thresholds=THRESHOLDS, by_copies=by_copies)
    whole = [one for one in counted if _slice(one) == EVERYTHING]
    told = [_Told(one, *samples.sides(key_of(one), _slice(one))) for one in counted]
    told += _at_thresholds(samples, whole)
    sides = iter(estimated([side for one in told for side in (one.flagged, one.other)]))
    rows: Iterator[dict[str, Any]] = (
        row for one in told for row in _rows(replace(one, flagged=next(sides), other=next(sides)))
    )
    seconds = None
    if frames.verdicts is not None:
        seconds = seconds_a_decision(frames.verdicts)
        rows = chain(rows, alpha(frames.verdicts))
    about = {"computed_at": now, "dt": now.date()}
    # As Python's values, all rows of a long history would take five times their size.
    some = [pa.Table.from_pylist([about | row for row in part], NUMBERS) for part in few(rows, _ROWS)]
    return Numbers(
        pa.concat_tables([NUMBERS.empty_table(), *some]),
        people=[] if frames.verdicts is None else people(frames.verdicts, pseudonyms=pseudonyms),
        training=toward(frames, whole, seconds=seconds, needed=needed),
    )


def numbers_of(
    settings: Settings,
    *,
    draws: pa.Table | None = None,
    load_id: str | None = None,
    since: date | None = None,
    until: date | None = None,
    **how: Any,
) -> Numbers:
    """`numbers` of what is published, as `judged.frames_of` reads it.

    :param how: parameters of `numbers`.
    :raises WarehouseMissingError: nothing was published yet.
    :raises TablesError: the tables cannot be read.
    """
    with open_published(settings) as connection:
        frames = frames_of(
            connection, thresholds=in_use(), draws=draws, load_id=load_id, since=since, until=until
        )
    return numbers(frames, **how)


@dataclass(frozen=True)
class _Told:
    """One label in one slice, at one threshold.

    :param counted: its row of counts.
    :param at: the threshold of a curve; None for the one in use.
    """

    counted: dict[str, Any]
    flagged: Side
    other: Side
    at: float | None = None


def _at_thresholds(samples: Samples, counted: Iterable[dict[str, Any]]) -> Iterator[_Told]:
    """Every label of which anything is decided, at each threshold from the one in use on."""
    for one in counted:
        if any(one[name] for name in ("tp", "fp", "fn", "tn")):
            for at in THRESHOLDS:
                if one["threshold"] is not None and one["threshold"] <= at:
                    yield _Told(one, *samples.sides(key_of(one), at=at), at=at)


def _rows(told: _Told) -> Iterator[dict[str, Any]]:
    one = told.counted
    about = {name: one[name] for name in _ABOUT}
    if told.at is not None:
        about |= {"threshold": told.at}
        shares = rates(told.flagged, told.other, images_flagged=None, images=one["contents"], suffix="_at")
        yield from (about | number for number in shares)
        return
    yield from (about | number for number in _counted(one))
    yield from (
        about | number
        for number in (
            *rates(told.flagged, told.other, images_flagged=one["flagged"], images=one["contents"]),
            *aws_rates(one),
        )
    )


def _counted(one: dict[str, Any]) -> Iterator[dict[str, Any]]:
    verified = sum(one[name] for name in ("tp", "fp", "fn", "tn"))
    for measure in ("tp", "fp", "fn", "tn", "unsure"):
        yield {"measure": measure, "value": one[measure], "population": f"{verified:,} verified images"}
    if one["flagged"] is not None:
        # Of what is flagged; of what is not, nearly all is not verified.
        left = max(0, one["flagged"] - one["tp"] - one["fp"])
        yield {"measure": "not_verified", "value": left, "population": f"{one['flagged']:,} images flagged"}


def _slice(one: dict[str, Any]) -> tuple[str | None, Any]:
    return next(((name, one[name]) for name in SLICES if name and one[name] is not None), EVERYTHING)
