"""The queues of what is looked at next."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "queues",
        sa.Column("queue_id", sa.String, primary_key=True),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("spec", sa.String, nullable=False),
        sa.Column("paused", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_position", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("queue_id", sa.String, sa.ForeignKey("queues.queue_id"), nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("content", sa.String),
        sa.Column("source_ref", sa.String),
        sa.Column("etag", sa.String),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("copies", sa.BigInteger, nullable=False),
        sa.Column("load_id", sa.String),
        sa.Column("manifest_id", sa.String),
        sa.Column("line_number", sa.BigInteger),
        sa.Column("label", sa.String, nullable=False),
        sa.Column("confidence", sa.Double),
        sa.Column("design", sa.String),
        sa.Column("stratum", sa.String),
        sa.Column("inclusion_probability", sa.Double),
        sa.Column("seed", sa.BigInteger),
        sa.Column("purpose", sa.String),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("holder", sa.String),
        sa.Column("held_until", sa.DateTime(timezone=True)),
    )
    op.create_index("items_in_order", "items", ["queue_id", "state", "position"])
    op.create_index("items_ending", "items", ["queue_id", "state", "held_until"])
    op.create_index("items_held", "items", ["queue_id", "holder", "position"])
    op.create_index("items_of_content", "items", ["queue_id", "content"])
    op.create_index("items_waiting", "items", ["state", "added_at"])
    op.create_index("items_by_content", "items", ["content"])
    op.create_table(
        "skips",
        sa.Column("item_id", sa.String, primary_key=True),
        sa.Column("reviewer", sa.String, primary_key=True),
    )
