"""A checksum beside each item and each queue, as beside each verdict.

Of an item: ``a``, eight hexadecimal digits of what says how it was drawn, eight of the rest that never
changes. All items of a draw's stratum share the first part: so whoever counts them reads no row to know them
whole. Who holds an item, until when, and how far it is change all the time and are in none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any

import orjson

from moderation.review.queue import ITEM_COLUMNS, ItemState
from moderation.review.state import tables
from moderation.review.state.checksums import FORM, casts_of, sum_of

DRAW = ("queue_id", "seed", "design", "stratum", "load_id", "inclusion_probability")
"""What says how an item was drawn, in the order in which it is summed."""

DRAW_LENGTH = 9
"""Of a checksum, the part of :data:`DRAW`."""

_CHANGING = {"state", "holder", "held_until"}
_REST = [name for name in ITEM_COLUMNS if name not in {*DRAW, *_CHANGING}]
_draw = itemgetter(*map(ITEM_COLUMNS.index, DRAW))
_rest = itemgetter(*map(ITEM_COLUMNS.index, _REST))
_state = itemgetter(ITEM_COLUMNS.index("state"))
_draw_of, _rest_of = itemgetter(*DRAW), itemgetter(*_REST)
_CASTS = [(name, cast) for name, cast in casts_of(tables.items, ITEM_COLUMNS) if cast is not int]
_STATES = frozenset(ItemState)

QUEUE_COLUMNS = ("queue_id", "kind", "name", "spec", "paused", "created_at")


@lru_cache(maxsize=10_000)
def of_draw(values: tuple[Any, ...]) -> str:
    """The first part of an item's checksum; it is the same for all that were drawn together.

    :param values: in the order of :data:`DRAW`, each of its column's type.
    """
    return f"{FORM}{sum_of(values)}"


def of_item(values: Sequence[Any]) -> str:
    """The checksum of an item.

    :param values: in the order of `queue.ITEM_COLUMNS`, as :func:`summed` gives them.
    """
    return of_draw(_draw(values)) + sum_of(_rest(values))


def is_whole(values: Sequence[Any], checksum: str | None) -> bool:
    """Whether an item says what was written; also if nobody wrote down what that was."""
    return _state(values) in _STATES and (not is_known(checksum) or of_item(values) == checksum)


def is_known(checksum: str | None) -> bool:
    """Whether a checksum is of a form that this release makes; an older one made none."""
    return checksum is not None and checksum.startswith(FORM)


def summed(row: dict[str, Any]) -> dict[str, Any]:
    """The same row of `items`, as both databases give it back, with its checksum.

    :param row: with all of `queue.ITEM_COLUMNS`.
    """
    for name, cast in _CASTS:
        if row[name] is not None:
            row[name] = cast(row[name])
    row["checksum"] = of_draw(_draw_of(row)) + sum_of(_rest_of(row))
    return row


def of_queue(row: Mapping[str, Any]) -> str:
    """The checksum of a queue: of what it is. Who may work on it, and whether it is paused, change.

    :param row: with :data:`QUEUE_COLUMNS`.
    :raises ValueError: its options are no JSON.
    """
    options = {name: value for name, value in orjson.loads(row["spec"]).items() if name != "people"}
    told = orjson.dumps(options, option=orjson.OPT_SORT_KEYS).decode()
    return f"{FORM}{sum_of([row['queue_id'], row['kind'], row['name'], told, row['created_at']])}"


def is_whole_queue(row: Mapping[str, Any]) -> bool:
    """Whether a row of `queues` says what was written; also if nobody wrote down what that was.

    :raises ValueError: its options are no JSON.
    """
    checksum = row["checksum"]
    return not is_known(checksum) or of_queue(row) == checksum
