"""The tables of the state as SQLAlchemy sees them; the steps in ``migrations`` make them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

NAMES = sa.MetaData()

Id = sa.String
BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""A counter: SQLite counts by itself only in a column of the type INTEGER."""


class Moment(sa.types.TypeDecorator[datetime]):
    """A time in UTC, to the microsecond; SQLite knows no time zones and keeps it as text that sorts."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """What is stored."""
        if value is None:
            return None
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """What was meant."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


state = sa.Table(
    "state",
    NAMES,
    sa.Column("name", sa.String, primary_key=True),
    sa.Column("value", sa.String, nullable=False),
)

verdicts = sa.Table(
    "verdicts",
    NAMES,
    sa.Column("position", BIG, primary_key=True, autoincrement=True),
    sa.Column("verdict_id", sa.String, nullable=False, unique=True),
    sa.Column("dt", sa.Date, nullable=False),
    sa.Column("decided_at", Moment, nullable=False),
    sa.Column("reviewer", sa.String, nullable=False),
    *(sa.Column(name, sa.String) for name in ("content", "source_ref", "etag")),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("subject", sa.String, nullable=False),
    sa.Column("label", sa.String),
    sa.Column("level", sa.Integer),
    *(sa.Column(name, sa.String) for name in ("l1", "l2", "l3")),
    sa.Column("verdict", sa.String, nullable=False),
    sa.Column("replaces", sa.String),
    sa.Column("blind", sa.Boolean, nullable=False),
    *(sa.Column(name, sa.String) for name in ("load_id", "manifest_id")),
    sa.Column("line_number", sa.BigInteger),
    *(sa.Column(name, sa.String) for name in ("model_version", "adapter")),
    *(sa.Column(name, sa.Double) for name in ("min_confidence", "confidence", "threshold")),
    *(sa.Column(name, sa.String) for name in ("policy_decision", "queue_id", "item_id", "design", "stratum")),
    sa.Column("inclusion_probability", sa.Double),
    sa.Column("seed", sa.BigInteger),
    sa.Column("purpose", sa.String),
    sa.Column("origin", sa.String, nullable=False),
    sa.Column("note", sa.String),
    sa.Column("erased", sa.Boolean, nullable=False),
    sa.Column("published", sa.Boolean, nullable=False),
    sa.Column("checksum", sa.String),
    sa.Index("verdicts_of_content", "content"),
    sa.Index("verdicts_of_reviewer", "reviewer", "decided_at"),
    sa.Index("verdicts_of_item", "item_id"),
    sa.Index("verdicts_of_source", "source_ref"),
    sa.Index(
        "verdicts_to_publish",
        "position",
        sqlite_where=sa.text("NOT published"),
        postgresql_where=sa.text("NOT published"),
    ),
    sa.Index(
        "verdicts_severe",
        "content",
        sqlite_where=sa.text("verdict = 'severe'"),
        postgresql_where=sa.text("verdict = 'severe'"),
    ),
)

queues = sa.Table(
    "queues",
    NAMES,
    sa.Column("queue_id", sa.String, primary_key=True),
    sa.Column("kind", sa.String, nullable=False),
    sa.Column("name", sa.String, nullable=False),
    sa.Column("spec", sa.String, nullable=False),
    sa.Column("paused", sa.Boolean, nullable=False),
    sa.Column("created_at", Moment, nullable=False),
    sa.Column("last_position", sa.BigInteger, nullable=False),
    sa.Column("checksum", sa.String),
)

items = sa.Table(
    "items",
    NAMES,
    sa.Column("item_id", sa.String, primary_key=True),
    sa.Column("queue_id", sa.String, sa.ForeignKey("queues.queue_id"), nullable=False),
    sa.Column("position", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.String) for name in ("content", "source_ref", "etag")),
    sa.Column("size_bytes", sa.BigInteger),
    sa.Column("copies", sa.BigInteger, nullable=False),
    *(sa.Column(name, sa.String) for name in ("load_id", "manifest_id")),
    sa.Column("line_number", sa.BigInteger),
    sa.Column("label", sa.String, nullable=False),
    sa.Column("confidence", sa.Double),
    *(sa.Column(name, sa.String) for name in ("design", "stratum")),
    sa.Column("inclusion_probability", sa.Double),
    sa.Column("seed", sa.BigInteger),
    sa.Column("purpose", sa.String),
    sa.Column("state", sa.String, nullable=False),
    sa.Column("added_at", Moment, nullable=False),
    sa.Column("holder", sa.String),
    sa.Column("held_until", Moment),
    sa.Column("checksum", sa.String),
    sa.Index("items_in_order", "queue_id", "state", "position"),
    sa.Index("items_ending", "queue_id", "state", "held_until"),
    sa.Index("items_held", "queue_id", "holder", "position"),
    sa.Index("items_of_content", "queue_id", "content"),
    sa.Index("items_waiting", "state", "added_at"),
    sa.Index("items_by_content", "content"),
)

skips = sa.Table(
    "skips",
    NAMES,
    sa.Column("item_id", sa.String, primary_key=True),
    sa.Column("reviewer", sa.String, primary_key=True),
)
