"""Toward an adapter: what each label still lacks, and the queue that fills it fastest."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from moderation.review.statistics.counts import KEYS
from moderation.review.statistics.frames import ABSENT, PRESENT, Frames
from moderation.review.statistics.samples import key_of

DEFAULT_SECONDS = 8.0
"""A decision, before anybody's pace is known: what hard content took elsewhere."""

_BAND = 10


@dataclass(frozen=True)
class Needed:
    """What AWS asks for before a label can be trained (developer guide, "Adapters: best practices").

    :param false_positives: at least so many distinct contents.
    :param false_negatives: or so many of these.
    :param both: one page of AWS's says "and" where another says "or".
    """

    false_positives: int = 20
    false_negatives: int = 50
    both: bool = False


@dataclass(frozen=True)
class _Queue:
    """A queue that would find more.

    :param rate: of its images that part is of the kind that is wanted.
    """

    finds: str
    kind: str
    rate: float
    low: float | None = None
    high: float | None = None
    stratum: str | None = None


def toward(
    frames: Frames,
    counted: Iterable[dict[str, Any]],
    *,
    seconds: float | None = None,
    needed: Needed | None = None,
) -> list[dict[str, Any]]:
    """A dict for each label of each model, adapter and threshold of which anything is decided.

    ``false_positives`` and ``false_negatives`` (distinct contents, whoever met them) with ``…_needed``;
    ``enough``;
    ``right`` cases; ``queue``: the one that gets there fastest (``finds``, ``kind``, ``low``, ``high``,
    ``stratum``, ``rate``: of its images that part is of use), ``images`` of it to be looked at and ``hours``;
    these are null when nothing tells a rate, and ``next`` says what to do, as a sentence.

    :param counted: rows of `counts.counts` over all content types, loads and weeks.
    :param seconds: a decision takes; `DEFAULT_SECONDS` where nobody's pace is known.
    :param needed: the least; AWS's by default.
    """
    needed, seconds = needed or Needed(), seconds or DEFAULT_SECONDS
    queues = _queues(frames)
    told = []
    for one in counted:
        if one["label"] is None or not any(one[name] for name in ("tp", "fp", "fn", "tn")):
            continue
        about = {name: one[name] for name in (*KEYS, "label", "level")} | {
            "false_positives": one["fp"],
            "false_positives_needed": needed.false_positives,
            "false_negatives": one["fn"],
            "false_negatives_needed": needed.false_negatives,
            "right": one["tp"],
        }
        lacking = {
            "false_positives": max(0, needed.false_positives - one["fp"]),
            "false_negatives": max(0, needed.false_negatives - one["fn"]),
        }
        enough = max(lacking.values()) == 0 if needed.both else min(lacking.values()) == 0
        told.append(about | {"enough": enough} | _next(lacking, queues[key_of(one)], enough, needed, seconds))
    return told


def _next(
    lacking: dict[str, int], queues: list[_Queue], enough: bool, needed: Needed, seconds: float
) -> dict[str, Any]:
    nothing = {"queue": None, "images": None, "hours": None}
    if enough:
        return nothing | {"next": "enough to train"}
    ways = []
    for finds, missing in lacking.items():
        rates = [queue for queue in queues if queue.finds == finds]
        if missing and rates:
            best = max(rates, key=lambda queue: queue.rate)
            ways.append((math.ceil(missing / best.rate), missing, best))
    if not ways:
        return nothing | {"next": "nothing was drawn and decided yet: begin with a queue of what was flagged"}
    images, missing, queue = (max if needed.both else min)(ways, key=lambda way: way[0])
    hours = images * seconds / 3600
    told = {name: getattr(queue, name) for name in ("finds", "kind", "low", "high", "stratum", "rate")}
    where = (
        f"flagged images from {queue.low:g} to {queue.high:g} %"
        if queue.kind == "band"
        else f"images of stratum {queue.stratum or 'all'} that were not flagged"
    )
    sentence = (
        f"{missing} {queue.finds.replace('_', ' ')} more: about {images:,} {where}, {hours:,.1f} h at "
        f"{seconds:.0f} s"
    )
    return {"queue": told, "images": images, "hours": hours, "next": sentence}


def _queues(frames: Frames) -> dict[tuple[Any, ...], list[_Queue]]:
    """Where each label's errors were found so far, with how often: half an error is added, lest none be a
    promise."""
    seen: dict[tuple[Any, ...], dict[tuple[Any, ...], list[int]]] = defaultdict(
        lambda: defaultdict(lambda: [0, 0])
    )
    for row in frames.judged.to_pylist():
        if row["truth"] not in {PRESENT, ABSENT} or row["draw"] is None:
            continue
        if row["predicted"]:
            band = (
                min(int(row["confidence"] // _BAND) * _BAND, 100 - _BAND)
                if row["confidence"] is not None
                else 0
            )
            place = ("false_positives", "band", band)
            wrong = row["truth"] == ABSENT
        else:
            place, wrong = ("false_negatives", "stratified", row["stratum"]), row["truth"] == PRESENT
        seen[key_of(row)][place][0] += wrong
        seen[key_of(row)][place][1] += 1
    return defaultdict(
        list,
        {key: [_queue(*place, *found) for place, found in places.items()] for key, places in seen.items()},
    )


def _queue(finds: str, kind: str, where: Any, wrong: int, decided: int) -> _Queue:
    rate = (wrong + 0.5) / (decided + 1)
    if kind == "band":
        return _Queue(finds, kind, rate, low=float(where), high=float(where + _BAND))
    return _Queue(finds, kind, rate, stratum=where)
