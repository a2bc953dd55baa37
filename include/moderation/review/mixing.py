"""What a queue's options mix in among its own items: second opinions, golden and benign images.

Nobody is shown an image for its own sake that the queue has anyway: mixed in, it would be one more opinion of
it and one more look at it. A golden image that the queue has is the test where it stands, once, and keeps how
it was drawn.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review.queue import Item, ItemState, Queue
from moderation.review.state import tables
from moderation.review.state.database import few
from moderation.review.verdict import Purpose

_I, _S = tables.items, tables.skips
_MIXED_IN = (Purpose.GOLDEN, Purpose.BENIGN)

Mixed = tuple[Item, bool]
"""An item with its id, and whether it was mixed in for its own sake."""


def mixed(
    queue: Queue, items: Iterable[Item], benign: Iterator[Item], golden: Iterable[Item]
) -> Iterator[Mixed]:
    """The items with what the options mix in, each with its id.

    :param golden: of what the truth was laid down.
    """
    spec = queue.spec
    tests = {item.content: item for item in golden}
    own: set[str] = set()
    others = (item for content, item in tests.items() if content not in own)
    chance = random.Random(f"{spec.seed} {queue.queue_id}")  # noqa: S311 - a draw that can be repeated
    for item in items:
        first = _named(queue, item, item.purpose or Purpose.TRAINING)
        if item.content in tests:
            own.add(item.content)
            first = replace(first, purpose=Purpose.GOLDEN)
        yield first, False
        if chance.random() < spec.second_share:
            yield _named(queue, _undrawn(item), Purpose.SECOND), False
        for share, those, purpose in (
            (spec.golden, others, Purpose.GOLDEN),
            (spec.benign_share, benign, Purpose.BENIGN),
        ):
            if chance.random() < share and (other := next(those, None)) is not None:
                yield _named(queue, _undrawn(other), purpose), True


def not_there(connection: Connection, queue: Queue, those: list[Mixed]) -> list[Item]:
    """Those of the items that can be added: of what is mixed in, no image that the queue has."""
    there = {item.content for item, is_mixed_in in those if not is_mixed_in}
    asked = {item.content for item, is_mixed_in in those if is_mixed_in} - there
    for some in few(sorted(asked)):
        query = sa.select(_I.c.content).where(_I.c.queue_id == queue.queue_id, _I.c.content.in_(some))
        there |= set(connection.execute(query).scalars())
    kept = []
    for item, is_mixed_in in those:
        if is_mixed_in and item.content in there:
            continue
        there.add(item.content)
        kept.append(item)
    return kept


def give_way(connection: Connection, queue: Queue, those: list[Mixed]) -> int:
    """What was mixed in before the queue got the same image itself goes, where nobody has begun with it.

    :returns: how many items went.
    """
    if not (queue.spec.golden or queue.spec.benign_share):
        return 0
    gone = 0
    for some in few(item for item, is_mixed_in in those if not is_mixed_in):
        twins = sa.select(_I.c.item_id).where(
            _I.c.queue_id == queue.queue_id,
            _I.c.content.in_({item.content for item in some}),
            _I.c.item_id.not_in([item.item_id for item in some]),
            _I.c.purpose.in_(_MIXED_IN),
            _I.c.state == ItemState.OPEN,
        )
        names = list(connection.execute(twins).scalars())
        connection.execute(sa.delete(_S).where(_S.c.item_id.in_(names)))
        gone += connection.execute(sa.delete(_I).where(_I.c.item_id.in_(names))).rowcount
    return gone


def _undrawn(item: Item) -> Item:
    return replace(item, design=None, stratum=None, inclusion_probability=None, seed=None)


def _named(queue: Queue, item: Item, purpose: str) -> Item:
    """With an id that says what it is an item for: drawn again it is the same one."""
    told = "\0".join([queue.queue_id, item.content, item.label, purpose])
    item_id = hashlib.sha256(told.encode()).hexdigest()[:32]
    return replace(item, item_id=item_id, queue_id=queue.queue_id, purpose=purpose)
