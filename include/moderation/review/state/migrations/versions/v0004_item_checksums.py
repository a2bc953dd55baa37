"""A checksum beside each item and each queue."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from moderation.review.queue import ITEM_COLUMNS
from moderation.review.state import tables
from moderation.review.state.item_checksums import QUEUE_COLUMNS, of_item, of_queue

revision = "0004"
down_revision = "0003"

_AT_ONCE = 10_000
_UNREADABLE = (ValueError, TypeError, AttributeError, sa.exc.OperationalError)
_I, _Q = tables.items, tables.queues


def upgrade() -> None:
    """Add the columns, and say what those rows say now that have none; after a way back, the later ones.

    One that cannot be read is told to whoever reads it.
    """
    connection = op.get_bind()
    for name in ("queues", "items"):
        if "checksum" not in {column["name"] for column in sa.inspect(connection).get_columns(name)}:
            op.add_column(name, sa.Column("checksum", sa.String))
    _fill(connection, _Q, QUEUE_COLUMNS, lambda row: of_queue(dict(zip(QUEUE_COLUMNS, row, strict=True))))
    _fill(connection, _I, ITEM_COLUMNS, of_item)


def downgrade() -> None:
    """The columns stay: an earlier release changes nothing that they tell of, and its rows have none."""


def _fill(connection: Any, table: sa.Table, columns: Any, checksum: Any) -> None:
    there = {column["name"] for column in sa.inspect(connection).get_columns(table.name)}
    (key,) = table.primary_key.columns
    number = sa.literal_column("rowid", sa.Integer) if connection.dialect.name == "sqlite" else key
    query = sa.select(number, *(table.c[name] if name in there else sa.null() for name in columns))
    without = table.c.checksum.is_(None)
    query = query.select_from(table).where(without).order_by(number)
    place = "rowid" if connection.dialect.name == "sqlite" else key.name
    filled = sa.text(f"UPDATE {table.name} SET checksum = :checksum WHERE {place} = :key")  # noqa: S608
    keys = sa.select(number).select_from(table).where(without).order_by(number).limit(_AT_ONCE)
    last: Any = None
    while some := connection.execute(keys if last is None else keys.where(number > last)).scalars().all():
        behind = query if last is None else query.where(number > last)
        last = some[-1]
        rows = _summed(connection, behind.where(number <= last), checksum)
        if rows is None:
            each = (_summed(connection, query.where(number == one), checksum) for one in some)
            rows = [row for one in each for row in one or ()]
        if rows:
            connection.execute(filled, rows)


def _summed(connection: Any, query: Any, checksum: Any) -> list[dict[str, Any]] | None:
    try:
        return [{"key": row[0], "checksum": checksum(row[1:])} for row in connection.execute(query).all()]
    except _UNREADABLE:
        return None
