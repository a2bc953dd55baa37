"""What a queue is made of: its kind and options, its items, how far it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Self

import orjson

from moderation.errors import NeedsAPersonError

DISPUTES = "dispute"
"""Id of the one queue of what people disagree about."""


class QueueError(NeedsAPersonError, ValueError):
    """There is no such queue, it is not for this person, or it cannot be as it is asked for."""


class Kind(StrEnum):
    """Where the items of a queue come from."""

    JOB = "job"
    BAND = "band"
    POLICY = "policy"
    RANDOM_UNFLAGGED = "random_unflagged"
    STRATIFIED = "stratified"
    FILTER = "filter"
    ADAPTER = "adapter"
    DISPUTE = "dispute"
    GOLDEN = "golden"


class ItemState(StrEnum):
    """How far an item is. One that was skipped is open for everybody else."""

    OPEN = "open"
    LEASED = "leased"
    DONE = "done"


UNSEEN = datetime(9999, 1, 1, tzinfo=UTC)
"""Until when an item is held of which there is no image to look at: it is over, and nobody decided it.

A release that does not know this takes it for decided, so that its queues end too.
"""


@dataclass(frozen=True, kw_only=True)
class QueueSpec:
    """What is asked for.

    :ivar name: for people.
    :ivar load_id: whose answers; None takes all.
    :ivar label: of a band; None takes any.
    :ivar low: least confidence in percent, with it.
    :ivar high: greatest confidence in percent, without it.
    :ivar filter: of a saved filter: column of `images` or `labels` to value or list of values.
    :ivar size: how many are drawn; None takes all that fit.
    :ivar blind: who decides does not see the answer.
    :ivar second_share: share of the items that a second person looks at too.
    :ivar golden: share of items, on top, of which the truth is known.
    :ivar benign_share: share of items, on top, with nothing to flag.
    :ivar cap: of contents a day, after which a break is suggested.
    :ivar people: who may work on it; empty for everybody.
    :ivar seed: of all that is drawn.
    :ivar lease_seconds: how long an item is kept for who took it.
    :ivar standing: each publish adds to it.
    :raises QueueError: it cannot be so.
    """

    kind: str
    name: str
    load_id: str | None = None
    label: str | None = None
    low: float | None = None
    high: float | None = None
    filter: Mapping[str, Any] | None = None
    size: int | None = None
    blind: bool = False
    second_share: float = 0.0
    golden: float = 0.0
    benign_share: float = 0.0
    cap: int | None = None
    people: tuple[str, ...] = ()
    seed: int = 0
    lease_seconds: int = 900
    standing: bool = False

    def __post_init__(self) -> None:
        if fault := _fault(self):
            raise QueueError(f"queue {self.name!r}: {fault}")

    def to_json(self) -> str:
        """For the state."""
        return orjson.dumps(asdict(self)).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """From the state; what a later release added is left aside."""
        known = {entry.name for entry in fields(cls)}
        told = {name: value for name, value in orjson.loads(text).items() if name in known}
        return cls(**{**told, "people": tuple(told.get("people") or ())})


@dataclass(frozen=True, kw_only=True)
class Queue:
    """A queue as it stands."""

    queue_id: str
    spec: QueueSpec
    paused: bool
    created_at: datetime

    def is_for(self, reviewer: str) -> bool:
        """Whether a person may work on it."""
        return not self.spec.people or reviewer in self.spec.people


@dataclass(frozen=True, kw_only=True)
class Item:
    """One content that is to be looked at, for one label or as a whole.

    :ivar position: its place in the queue; set when it is added.
    :ivar label: which is in question; "" for all of them.
    :ivar copies: how many keys hold the content.
    :ivar design: how it was drawn; None if with no known probability, and then it enters no rate.
    """

    content: str
    source_ref: str
    etag: str | None = None
    size_bytes: int | None = None
    copies: int = 1
    load_id: str | None = None
    manifest_id: str | None = None
    line_number: int | None = None
    label: str = ""
    confidence: float | None = None
    design: str | None = None
    stratum: str | None = None
    inclusion_probability: float | None = None
    seed: int | None = None
    purpose: str | None = None
    item_id: str = ""
    queue_id: str = ""
    position: int = 0
    state: str = ItemState.OPEN
    added_at: datetime | None = None
    holder: str | None = None
    held_until: datetime | None = None


ITEM_COLUMNS = tuple(entry.name for entry in fields(Item))


@dataclass(frozen=True)
class Progress:
    """How far a queue is, in items.

    :ivar unseen: of which there is no image to look at.
    :ivar total: what can be decided: all but those.
    """

    open: int = 0
    leased: int = 0
    done: int = 0
    unseen: int = 0
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", self.open + self.leased + self.done)


@dataclass(frozen=True)
class Left:
    """What of a queue's open items a person gets.

    :ivar some: whether they get any.
    :ivar skipped: if not, how many wait for others alone since this person skipped them.
    :ivar others: and how many for another reason: they gave the first opinion, or may not see them.
    """

    some: bool
    skipped: int = 0
    others: int = 0


@dataclass(frozen=True)
class Waiting:
    """The item that waits for the longest time."""

    queue_id: str
    item_id: str
    since: datetime


def _fault(spec: QueueSpec) -> str | None:
    shares = (spec.second_share, spec.golden, spec.benign_share)
    faults = {
        f"its kind {spec.kind!r} is none of {', '.join(Kind)}": spec.kind not in set(Kind),
        "it has no name": not spec.name.strip(),
        "a share is between 0 and 1": not all(0 <= share <= 1 for share in shares),
        "its band of confidence is from 0 to 100, the lower end first": not (
            0 <= (spec.low or 0) <= (100 if spec.high is None else spec.high) <= 100
        ),
        "its cap is a number above 0": spec.cap is not None and spec.cap < 1,
        "its size is a number above 0": spec.size is not None and spec.size < 1,
        "an item is kept for a second at least": spec.lease_seconds < 1,
    }
    return next((text for text, holds in faults.items() if holds), None)
