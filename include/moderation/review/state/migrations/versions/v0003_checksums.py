"""A checksum beside each verdict."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from moderation.review.state import tables
from moderation.review.state.checksums import of_values
from moderation.review.verdict import COLUMNS

revision = "0003"
down_revision = "0002"

_AT_ONCE = 10_000


def upgrade() -> None:
    """Add the column, and say what those rows say now that have none: after a way back, the later ones."""
    connection = op.get_bind()
    there = {column["name"] for column in sa.inspect(connection).get_columns("verdicts")}
    if "checksum" not in there:
        op.add_column("verdicts", sa.Column("checksum", sa.String))
    columns = [tables.verdicts.c[name] if name in there else sa.null().label(name) for name in COLUMNS]
    query = sa.select(tables.verdicts.c.position, *columns).where(tables.verdicts.c.checksum.is_(None))
    filled = sa.text("UPDATE verdicts SET checksum = :checksum WHERE position = :position")
    for some in _pages(connection, query):
        connection.execute(filled, [{"position": row[0], "checksum": of_values(row[1:])} for row in some])


def downgrade() -> None:
    """The column stays: a release that does not know it leaves it alone, and its rows have none."""


def _pages(connection: Any, query: Any) -> Iterator[list[Any]]:
    """All rows that can be read; one that cannot has no checksum, and is told to whoever reads it."""
    position = tables.verdicts.c.position
    wanted = sa.select(position).order_by(position).limit(_AT_ONCE)
    last = -1
    while places := connection.execute(wanted.where(position > last)).scalars().all():
        between = query.where(position > last, position <= places[-1])
        last = places[-1]
        try:
            yield connection.execute(between).all()
        except (ValueError, TypeError, sa.exc.OperationalError):
            rows = [_one(connection, query.where(position == place)) for place in places]
            yield [row for row in rows if row is not None]


def _one(connection: Any, query: Any) -> Any:
    try:
        return connection.execute(query).one()
    except (ValueError, TypeError, sa.exc.OperationalError):
        return None
