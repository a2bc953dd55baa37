"""What becomes of damaged rows: they say again what was published, or are taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review.queue import ItemState
from moderation.review.rows import Damaged
from moderation.review.state import tables
from moderation.review.state.checksums import as_stored
from moderation.review.verdict import ERASED, Verdict

_T, _I = tables.verdicts, tables.items


def mend(
    connection: Connection, damaged: Iterable[Damaged], published: Mapping[str, Verdict]
) -> list[Damaged]:
    """Make rows what the table says of them; what was erased since stays erased, and is published again.

    :param published: by their ids.
    :returns: the rows of which the table says nothing.
    """
    left = []
    index_anew(connection)
    for row in damaged:
        said = published.get(row.verdict_id)
        if said is None:
            left.append(row)
            continue
        values: dict[str, Any] = said.as_row()
        if row.is_erased:
            values |= dict.fromkeys(ERASED) | {"erased": True}
        values = as_stored(values) | {"published": values["erased"] == said.erased}
        connection.execute(sa.update(_T).where(_T.c.position == row.position).values(**values))
    return left


def take_out(connection: Connection, damaged: Iterable[Damaged]) -> None:
    """Take rows out, and open the items that were decided in them."""
    index_anew(connection)
    for row in damaged:
        connection.execute(sa.delete(_T).where(_T.c.position == row.position))
        decided = sa.and_(_I.c.item_id == row.told.get("item_id"), _I.c.state == ItemState.DONE)
        connection.execute(
            sa.update(_I).where(decided).values(state=ItemState.OPEN, holder=None, held_until=None)
        )


def index_anew(connection: Connection) -> None:
    """Make SQLite's indexes anew: one that knows a damaged row by what it said refuses a change of it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("REINDEX")
