"""A checksum beside each verdict: neither SQLite nor PostgreSQL tells of a bit that changed within a text.

``a``, then eight hexadecimal digits of what stays after an erasure and eight of what an erasure takes away:
so an erasure cuts the second part off without reading the row. A row without one was written by a release
that knew none; one that begins with another letter, by a later one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import orjson
import sqlalchemy as sa

from moderation.review.state import tables
from moderation.review.verdict import COLUMNS, ERASED

FORM = "a"
KEPT_LENGTH = 9
"""Of a checksum, what is left after an erasure."""

_KEPT = [name for name in COLUMNS if name not in {*ERASED, "erased"}]
_kept = itemgetter(*map(COLUMNS.index, _KEPT))
_taken = itemgetter(*map(COLUMNS.index, ERASED))
_ERASED = COLUMNS.index("erased")


def of_values(values: Sequence[Any]) -> str:
    """The checksum of a row.

    :param values: in the order of `verdict.COLUMNS`, as :func:`as_stored` gives them.
    """
    kept = f"{FORM}{sum_of(_kept(values))}"
    return kept if values[_ERASED] else kept + sum_of(_taken(values))


def is_whole(values: Sequence[Any], checksum: str | None) -> bool:
    """Whether a row says what was written; also if nobody wrote down what that was."""
    if checksum is None or not checksum.startswith(FORM):
        return True
    # A release that knows of no checksum leaves the second part when it erases.
    return of_values(values) == (checksum[:KEPT_LENGTH] if values[_ERASED] else checksum)


def as_stored(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as both databases give it back, with its checksum."""
    stored = dict(row)
    for name, cast in _CASTS:
        if stored[name] is not None:
            stored[name] = cast(stored[name])
    stored["checksum"] = of_values([stored[name] for name in COLUMNS])
    return stored


def without_taken() -> Any:
    """What becomes of the column with an erasure."""
    return sa.func.substr(tables.verdicts.c.checksum, 1, KEPT_LENGTH)


def sum_of(values: Iterable[Any]) -> str:
    """Eight hexadecimal digits of some values, of those types that both databases have."""
    # Columns come at the end: without nulls there, a row is summed as before they came.
    told = list(values)
    while told and told[-1] is None:
        told.pop()
    return f"{zlib.crc32(orjson.dumps(told)):08x}"


def _real(value: Any) -> float | None:
    """SQLite has neither a negative zero nor what is no number."""
    number = float(value)
    return None if number != number else number + 0.0  # noqa: PLR0124 - what is no number differs from itself


_OF_TYPES: tuple[tuple[type[Any], Callable[[Any], Any]], ...] = (
    (sa.Double, _real),
    (sa.Integer, int),
    (sa.Boolean, bool),
)


def casts_of(table: sa.Table, names: Iterable[str]) -> list[tuple[str, Callable[[Any], Any]]]:
    """What each column of these makes of a value before it is stored; no entry where it stays as it is."""
    return [
        (name, cast) for name in names for kind, cast in _OF_TYPES if isinstance(table.c[name].type, kind)
    ]


_CASTS = casts_of(tables.verdicts, COLUMNS)
