"""What becomes of damaged rows: they say again what was published or written, or are taken out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from moderation.review.queue import ItemState
from moderation.review.rows import QUEUES, VERDICTS, Damaged
from moderation.review.state import one_bit, tables
from moderation.review.state.checksums import as_stored
from moderation.review.verdict import ERASED, Verdict

_T, _I = tables.verdicts, tables.items


def mend(
    connection: Connection, damaged: Iterable[Damaged], published: Mapping[str, Verdict]
) -> list[Damaged]:
    """Make verdicts what the table says of them; what was erased since stays erased, and is published again.

    :param published: by their ids.
    :returns: the rows of which the table says nothing.
    """
    left = []
    index_anew(connection)
    for row in damaged:
        said = published.get(row.verdict_id) if row.kind is VERDICTS else None
        if said is None:
            left.append(row)
            continue
        values: dict[str, Any] = said.as_row()
        if row.is_erased:
            values |= dict.fromkeys(ERASED) | {"erased": True}
        values = as_stored(values) | {"published": values["erased"] == said.erased}
        connection.execute(sa.update(_T).where(_T.c.position == row.key).values(**values))
    return left


def put_right(connection: Connection, damaged: Iterable[Damaged]) -> list[Damaged]:
    """Make rows what their checksum says of them, where it can be told.

    :returns: the rows of which it cannot.
    """
    index_anew(connection)
    return [row for row in damaged if not one_bit.put_right(connection, row)]


def take_out(connection: Connection, damaged: Iterable[Damaged]) -> None:
    """Take rows out: the items that were decided in them are open again, a queue's items go with it."""
    index_anew(connection)
    for row in damaged:
        this = row.kind.key(connection) == row.key
        if row.kind is VERDICTS:
            decided = sa.and_(_I.c.item_id == row.told.get("item_id"), _I.c.state == ItemState.DONE)
            connection.execute(
                sa.update(_I).where(decided).values(state=ItemState.OPEN, holder=None, held_until=None)
            )
        elif row.kind is QUEUES:
            inside = _I.c.queue_id.in_(sa.select(tables.queues.c.queue_id).where(this))
            skipped = tables.skips.c.item_id.in_(sa.select(_I.c.item_id).where(inside))
            connection.execute(sa.delete(tables.skips).where(skipped))
            connection.execute(sa.delete(_I).where(inside))
        connection.execute(sa.delete(row.kind.table).where(this))


def index_anew(connection: Connection) -> None:
    """Make SQLite's indexes anew: one that knows a damaged row by what it said refuses a change of it."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("REINDEX")
