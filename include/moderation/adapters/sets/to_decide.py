"""Queues of exactly what a training lacks: decisions that would make its set complete, or errors to be found.

An item is one content and one label. Asked for again, a queue gets what is new; what was decided in it and
still is in question (somebody was unsure, or took it back) goes into a queue that follows, for other eyes.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from moderation.adapters.sets.decided import Decided, spelled, with_ancestors
from moderation.adapters.sets.verdicts import gather
from moderation.errors import WarehouseMissingError
from moderation.policy.thresholds import Thresholds
from moderation.query.published_views import open_published
from moderation.reference.content import SUBJECT_SQL
from moderation.review.queue import DISPUTES, Item, Kind, Queue, QueueSpec
from moderation.review.queues import Queues
from moderation.review.state.open import State
from moderation.review.verdict import Purpose
from moderation.settings import Settings
from moderation.storage import s3_objects

MOST = {"decisions": 1_000, "false-positives": 200, "false-negatives": 200}
"""Items that a queue has at once where nobody says how many."""

_LONGEST = 160

_SEEN = ("source_ref", "etag", "size_bytes", "load_id", "manifest_id", "line_number")
_IN_NO_LOAD = "in no published load"
_CHANGED = "gone, or changed since"


class Lack(StrEnum):
    """What a training lacks."""

    DECISIONS = "decisions"
    FALSE_POSITIVES = "false-positives"
    FALSE_NEGATIVES = "false-negatives"


_NAMES = {
    Lack.DECISIONS: "To be decided about {}",
    Lack.FALSE_POSITIVES: "Likely false positives of {}",
    Lack.FALSE_NEGATIVES: "Likely misses of {}",
}


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A content and the label that is in question, with the base model's confidence if it listed it."""

    content: str
    label: str
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True)
class Undecided:
    """What keeps a training set of some labels from being complete.

    :param pairs: the likeliest to be there first.
    :param disputed: images that people do not agree about: these wait in the dispute queue already.
    """

    pairs: tuple[Pair, ...]
    disputed: int


@dataclass(frozen=True, kw_only=True)
class Made:
    """What came of it.

    :param queue: where the items are; None when there is nothing to look at.
    :param waiting: items of it that nobody has decided.
    :param new: items that were not there before.
    :param more: pairs beyond the number that was asked for.
    :param left_out: images that cannot be put before anybody, by reason.
    """

    queue: Queue | None
    waiting: int = 0
    new: int = 0
    more: int = 0
    disputed: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For a terminal."""
        told = ["there is nothing to decide"]
        if self.queue is not None:
            told = [f"queue {self.queue.queue_id}: {self.waiting:,} to decide, {self.new:,} of them new"]
        if self.more:
            told.append(f"{self.more:,} more are left for the next time")
        if self.disputed:
            told.append(f"{self.disputed:,} images are disputed: operators decide them in queue {DISPUTES}")
        return told + [f"{number:,} images left out: {why}" for why, number in sorted(self.left_out.items())]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        rest = {name: value for name, value in vars(self).items() if name != "queue"}
        return {"queue": self.queue and self.queue.queue_id, **rest, "left_out": dict(self.left_out)}


def undecided(decided: Sequence[Decided], labels: Collection[str]) -> Undecided:
    """What people have still to decide of the contents that they have looked at.

    :raises moderation.adapters.sets.decided.UnknownLabelError: a label is none of taxonomy 7.0.
    """
    annotated = with_ancestors(spelled(labels))
    pairs, disputed = [], set()
    for entry in {entry.content: entry for entry in reversed(decided)}.values():
        for label in annotated:
            if entry.outcomes.get(label) == "disputed":
                disputed.add(entry.content)
            elif not entry.is_decided(label):
                confidence = entry.confidences.get(label)
                pairs.append(Pair(content=entry.content, label=label, confidence=confidence))
    return Undecided(pairs=tuple(sorted(pairs, key=_turn)), disputed=len(disputed))


def make(
    settings: Settings,
    state: State,
    labels: Collection[str],
    lack: Lack,
    *,
    thresholds: Thresholds,
    default_threshold: float,
    most: int | None = None,
) -> Made:
    """Make the queue of what some labels lack, or add to it; may be repeated.

    :param most: items that it is to have at once, of a label where likely errors are asked for.
    :raises moderation.adapters.sets.decided.UnknownLabelError: a label is none of taxonomy 7.0.
    :raises StateError: not all were stored; the same again adds the rest.
    """
    wanted, most = spelled(labels), most or MOST[lack]
    before = _decided_before(state.queues, wanted, lack)  # before the log is read: what ends later is in it
    decided = gather(settings, state.log)
    lacking = undecided(decided, wanted)
    pairs = lacking.pairs

    def used(label: str) -> float:
        return thresholds.labels.get(label, default_threshold)

    if lack != Lack.DECISIONS:
        pairs = tuple(
            pair for label in wanted for pair in _likely(settings, decided, label, lack, used(label), most)
        )
    some = pairs[:most] if lack == Lack.DECISIONS else pairs
    items, left_out = _items(settings, some)
    made = _add(state.queues, wanted, lack, items, before)
    disputed = lacking.disputed if lack == Lack.DECISIONS else 0
    return replace(made, more=len(pairs) - len(some), disputed=disputed, left_out=left_out)


def _turn(pair: Pair) -> tuple[Any, ...]:
    """The likeliest first, then by chance, the same each time; what is asked of one image together."""
    chance = hashlib.sha256(pair.content.encode()).digest()
    return -(pair.confidence or 0.0), chance, pair.label


def _queue_id(labels: Collection[str], lack: Lack, turn: int) -> str:
    name = hashlib.sha256("\0".join(labels).encode()).hexdigest()[:12]
    return f"{Kind.FILTER}-{lack}-{name}" + (f"-{turn}" if turn > 1 else "")


def _spec(labels: Collection[str], lack: Lack) -> QueueSpec:
    name = _NAMES[lack].format(", ".join(labels))
    return QueueSpec(
        kind=Kind.FILTER, name=name[:_LONGEST], filter={"lack": str(lack), "labels": list(labels)}
    )


def _decided_before(queues: Queues, labels: Collection[str], lack: Lack) -> list[set[tuple[str, str]]]:
    """What was decided in each of the queues that there are."""
    known = {queue.queue_id for queue in queues.all()}
    turns = itertools.takewhile(known.__contains__, (_queue_id(labels, lack, n) for n in itertools.count(1)))
    return [queues.decided_in(queue_id) for queue_id in turns]


def _add(
    queues: Queues,
    labels: Collection[str],
    lack: Lack,
    items: list[Item],
    before: Sequence[set[tuple[str, str]]],
) -> Made:
    """Put each item into the first of the queues in which it was not decided yet."""
    made = Made(queue=None)
    rest = items
    for turn in itertools.count(1):
        done = before[turn - 1] if turn <= len(before) else set()
        here = [item for item in rest if (item.content, item.label) not in done]
        rest = [item for item in rest if (item.content, item.label) in done]
        if here:
            queue = queues.create(_spec(labels, lack), _queue_id(labels, lack, turn))
            new = made.new + queues.add_items(queue.queue_id, here)
            progress = queues.progress(queue.queue_id)
            waiting = progress.total - progress.done
            # What follows holds the harder ones, and comes when the first is done.
            first = made.queue if made.waiting else queue
            made = Made(queue=first, waiting=made.waiting + waiting, new=new)
        if not rest:
            return made
    raise AssertionError("unreachable")


def _items(settings: Settings, pairs: Sequence[Pair]) -> tuple[list[Item], dict[str, int]]:
    """The pairs whose image can be shown, each with the newest answer about it."""
    contents = list(dict.fromkeys(pair.content for pair in pairs))
    found = _rows(settings, _NEWEST, contents=contents)
    seen = {row[0]: dict(zip(_SEEN, row[1:], strict=True)) for row in found}
    left_out: dict[str, int] = defaultdict(int)
    whole = set()
    with (
        s3_objects.open_client(settings, connections=settings.inspect_threads) as s3,
        ThreadPoolExecutor(settings.inspect_threads) as pool,
    ):
        is_as_it_was = pool.map(lambda content: _is_as_it_was(s3, seen.get(content)), contents)
        for content, why in zip(contents, is_as_it_was, strict=True):
            if why is None:
                whole.add(content)
            else:
                left_out[why] += 1
    items = [
        Item(
            content=pair.content,
            label=pair.label,
            confidence=pair.confidence,
            purpose=Purpose.TRAINING,
            **seen[pair.content],
        )
        for pair in pairs
        if pair.content in whole
    ]
    return items, dict(left_out)


def _is_as_it_was(s3: Any, row: Mapping[str, Any] | None) -> str | None:
    """Why an image cannot be looked at; None if it can."""
    if row is None:
        return _IN_NO_LOAD
    there = s3_objects.look_up(s3, row["source_ref"])
    same = there is not None and (not row["etag"] or s3_objects.etag_of(there) == row["etag"])
    return None if same else _CHANGED


def _likely(  # noqa: PLR0917 - what make has at hand
    settings: Settings, decided: Sequence[Decided], label: str, lack: Lack, threshold: float, most: int
) -> Iterator[Pair]:
    """Contents of which nobody said anything about the label, by how likely the base model errs in them.

    Flagged ones with the lowest confidence first, or others with the highest, and then by chance.
    """
    known = [entry.content for entry in decided if label in entry.outcomes]
    query = _FLAGGED if lack == Lack.FALSE_POSITIVES else _NOT_FLAGGED
    values = {"label": label, "threshold": threshold, "known": known, "most": most}
    for content, confidence in _rows(settings, query, **values):
        yield Pair(content=content, label=label, confidence=confidence)


def _rows(settings: Settings, query: str, **values: Any) -> list[tuple[Any, ...]]:
    try:
        with open_published(settings) as connection:
            return connection.execute(query, values).fetchall()
    except WarehouseMissingError:
        return []


_NEWEST = f"""
SELECT {SUBJECT_SQL} AS content, {", ".join(_SEEN)} FROM images
WHERE status = 'moderated' AND {SUBJECT_SQL} IN (SELECT unnest($contents::VARCHAR[]))
QUALIFY row_number() OVER (
    PARTITION BY content ORDER BY moderated_at DESC NULLS LAST, load_id DESC, manifest_id, line_number
) = 1
"""  # noqa: S608 - names of ours

_ANSWERED = f"""
WITH newest AS (
    SELECT {SUBJECT_SQL} AS content, load_id, manifest_id, line_number FROM images
    WHERE status = 'moderated' AND adapter IS NULL
    QUALIFY row_number() OVER (
        PARTITION BY content ORDER BY moderated_at DESC NULLS LAST, load_id DESC, manifest_id, line_number
    ) = 1
), answered AS (
    SELECT content, max(confidence) FILTER (coalesce(v7_l3, v7_l2, v7_l1, name) = $label) AS confidence
    FROM newest LEFT JOIN labels USING (load_id, manifest_id, line_number) GROUP BY content
)
SELECT content, confidence FROM answered
WHERE content NOT IN (SELECT unnest($known::VARCHAR[])) AND
"""  # noqa: S608 - names of ours
_FLAGGED = f"{_ANSWERED} confidence >= $threshold ORDER BY confidence, md5(content) LIMIT $most"
_NOT_FLAGGED = (
    f"{_ANSWERED} coalesce(confidence, 0) < $threshold "
    "ORDER BY coalesce(confidence, 0) DESC, md5(content) LIMIT $most"
)
