"""A new queue with its items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from moderation.console.index.found import Found
from moderation.console.index.looks import QUEUE, look_at, with_enough
from moderation.console.index.selection import Selection
from moderation.console.shared import Shared
from moderation.console.verify.told import KINDS
from moderation.reference.content import subject_id
from moderation.report.page import wording
from moderation.review.fill import Rules, fill, fill_with
from moderation.review.queue import Item, Kind, Queue, QueueError, QueueSpec
from moderation.review.verdict import Purpose
from moderation.sources.local_folder import as_known

_SHOWN = {
    "flagged": "Flagged images",
    "unflagged": "Unflagged images",
    "all": "All images",
    "failed": "Failures",
}
_AT_ONCE = 2_500
_LONGEST = 160


def make(shared: Shared, wanted: Mapping[str, Any], *, query: str) -> tuple[Queue, int]:
    """Make a queue and fill it.

    :param wanted: fields of :class:`QueueSpec`; an empty name is made up.
    :param query: of the job's page, where the queue is a selection of it.
    :returns: the queue, and how many items it has. A queue that found nothing is paused.
    :raises moderation.errors.ModerationError: it cannot be as it is asked for.
    """
    kind = Kind(wanted["kind"])
    chosen = Selection.parse(dict(parse_qsl(query)))
    about = {"query": query} if kind == Kind.FILTER else None
    spec = QueueSpec(
        **{**wanted, "name": wanted["name"] or _name(shared, kind, wanted, chosen), "filter": about}
    )
    if kind == Kind.FILTER and not spec.load_id:
        raise QueueError("a selection needs the job that it is of")
    queue = shared.review.queues.create(spec)
    made = 0
    try:
        made = with_enough(partial(_filled, shared, queue, chosen))
    finally:
        if not made:  # Lists leave a paused queue without items out.
            shared.review.queues.pause(queue.queue_id)
    return queue, made


def in_words(chosen: Selection) -> str:
    """A selection as a person reads it."""
    parts = [_SHOWN[chosen.shown]]
    if chosen.at is not None:
        parts.append(f"from {chosen.at:g} %")
    if chosen.node:
        parts.append(chosen.node)
    if chosen.kind:
        parts.append(wording.content_type(chosen.kind))
    if chosen.gone:
        parts.append("gone at the source")
    if chosen.text:
        parts.append(f"“{wording.foreign(chosen.text)}”")
    return ", ".join(parts)


def _name(shared: Shared, kind: Kind, wanted: Mapping[str, Any], chosen: Selection) -> str:
    told = KINDS[kind][0]
    if kind == Kind.FILTER:
        told = in_words(chosen)
    if kind == Kind.BAND:
        told = f"{wanted['label']}, {wanted['low'] or 0:g} to {wanted['high'] or 100:g} %"
    load = next((one for one in shared.history.known_loads()[0] if one["load_id"] == wanted["load_id"]), None)
    return f"{told} · {as_known(load['source'] or load['load_id'])}"[:_LONGEST] if load else told[:_LONGEST]


def _selected(found: Found, chosen: Selection) -> Iterator[Item]:
    """The contents of a selection in its order. None of them enters a rate: nobody drew them."""
    listed = found.listed(chosen)
    for first in range(0, len(listed.images), _AT_ONCE):
        numbers = listed.images[first : first + _AT_ONCE].tolist()
        copies = dict(zip(numbers, listed.copies[first : first + _AT_ONCE].tolist(), strict=True))
        rows = found.index.rows(
            "SELECT n, source_ref, etag, size_bytes, manifest_id, line_number FROM image "
            "WHERE n IN (SELECT unnest($1::INTEGER[]))",
            [numbers],
        )
        by_number = {row["n"]: row for row in rows}
        for n in numbers:
            row = by_number[n]
            if row["manifest_id"] is None:
                continue  # It was refused before anybody was asked about it.
            yield Item(
                content=subject_id(row["source_ref"], row["etag"], row["size_bytes"]),
                source_ref=row["source_ref"],
                etag=row["etag"],
                size_bytes=row["size_bytes"],
                copies=copies[n],
                load_id=found.load["load_id"],
                manifest_id=row["manifest_id"],
                line_number=row["line_number"],
                purpose=Purpose.TRAINING,
            )


def _filled(shared: Shared, queue: Queue, chosen: Selection, times: int) -> int:
    """Items for the queue, how many; where it is about one load, only the tables of its day are looked at."""
    queues, load_id = shared.review.queues, queue.spec.load_id
    day = next((load["dt"] for load in shared.history.loads() if load["load_id"] == load_id), None)
    # Before the look: whoever makes this index meanwhile waits for the look to end.
    found = shared.found(load_id, looked=True) if queue.spec.kind == Kind.FILTER and load_id else None
    with look_at(shared.settings, times, each=QUEUE, since=day, until=day) as published:
        if found is not None:
            return fill_with(published, queues, queue, _selected(found, chosen))
        rules = Rules(policy=shared.policy(), thresholds=shared.thresholds())
        return fill(published, queues, queue, rules)
