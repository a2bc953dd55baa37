"""The newest answer of each content and kind of answer, and how many keys hold the content."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

ROW = pa.schema(
    [
        ("high", pa.uint64()),
        ("low", pa.uint64()),
        ("asked", pa.int32()),
        ("moment", pa.int64()),
        ("n", pa.int64()),
        ("answer", pa.int32()),
        ("copies", pa.int64()),
    ]
)
"""A row an answer: the content in two halves, whom and what was asked, when it came, its number, by which
equals are ordered, what is counted apart, and how many keys hold the content."""

_CONTENT = ("high", "low", "asked")


def newest(pieces: Iterable[pa.Table]) -> pa.Table:
    """The newest row of each content and ``asked``, with all its keys.

    :param pieces: rows of `ROW`, in ``source`` a number of the key instead of ``copies``; no key in two of
        them.
    """
    found = [_newest(_counted(piece)) for piece in pieces]
    return found[0] if len(found) == 1 else _newest(pa.concat_tables([ROW.empty_table(), *found]))


def _counted(rows: pa.Table) -> pa.Table:
    """With ``copies``: 1 in one row of each content's keys, else 0."""
    order, is_first = _ordered(rows, ("source",), (*_CONTENT, "source"))
    copies = np.zeros(rows.num_rows, np.int64)
    copies[order[is_first]] = 1
    return rows.append_column("copies", pa.array(copies)).select(ROW.names).cast(ROW)


def _newest(rows: pa.Table) -> pa.Table:
    if not rows.num_rows:
        return rows
    order, is_first = _ordered(rows, ("moment", "n"), _CONTENT)
    begins = np.flatnonzero(is_first)
    lasts = order[np.append(begins[1:], order.size) - 1]
    copies = np.add.reduceat(rows["copies"].to_numpy()[order], begins)
    return rows.take(pa.array(lasts)).set_column(ROW.get_field_index("copies"), "copies", pa.array(copies))


def _ordered(rows: pa.Table, then: Sequence[str], same: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The rows' order by content and columns, and where in it rows begin that are not the same."""
    order = np.lexsort([rows[name].to_numpy() for name in reversed((*_CONTENT, *then))])
    is_first = np.zeros(order.size, bool)
    is_first[:1] = True
    for name in same:
        column = rows[name].to_numpy()[order]
        is_first[1:] |= column[1:] != column[:-1]
    return order, is_first
