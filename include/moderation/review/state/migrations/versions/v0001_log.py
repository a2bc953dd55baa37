"""The log of verdicts."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_LIVE = sa.text("NOT published")
_SEVERE = sa.text("verdict = 'severe'")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "state",
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("value", sa.String, nullable=False),
    )
    op.create_table(
        "verdicts",
        sa.Column(
            "position",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            primary_key=True,
            autoincrement=True,
        ),
        sa.Column("verdict_id", sa.String, nullable=False, unique=True),
        sa.Column("dt", sa.Date, nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reviewer", sa.String, nullable=False),
        sa.Column("content", sa.String),
        sa.Column("source_ref", sa.String),
        sa.Column("etag", sa.String),
        sa.Column("size_bytes", sa.BigInteger),
        sa.Column("subject", sa.String, nullable=False),
        sa.Column("label", sa.String),
        sa.Column("level", sa.Integer),
        sa.Column("l1", sa.String),
        sa.Column("l2", sa.String),
        sa.Column("l3", sa.String),
        sa.Column("verdict", sa.String, nullable=False),
        sa.Column("replaces", sa.String),
        sa.Column("blind", sa.Boolean, nullable=False),
        sa.Column("load_id", sa.String),
        sa.Column("manifest_id", sa.String),
        sa.Column("line_number", sa.BigInteger),
        sa.Column("model_version", sa.String),
        sa.Column("adapter", sa.String),
        sa.Column("min_confidence", sa.Double),
        sa.Column("confidence", sa.Double),
        sa.Column("threshold", sa.Double),
        sa.Column("policy_decision", sa.String),
        sa.Column("queue_id", sa.String),
        sa.Column("item_id", sa.String),
        sa.Column("design", sa.String),
        sa.Column("stratum", sa.String),
        sa.Column("inclusion_probability", sa.Double),
        sa.Column("seed", sa.BigInteger),
        sa.Column("purpose", sa.String),
        sa.Column("origin", sa.String, nullable=False),
        sa.Column("note", sa.String),
        sa.Column("erased", sa.Boolean, nullable=False),
        sa.Column("published", sa.Boolean, nullable=False),
    )
    op.create_index("verdicts_of_content", "verdicts", ["content"])
    op.create_index("verdicts_of_reviewer", "verdicts", ["reviewer", "decided_at"])
    op.create_index("verdicts_of_item", "verdicts", ["item_id"])
    op.create_index("verdicts_of_source", "verdicts", ["source_ref"])
    op.create_index(
        "verdicts_to_publish", "verdicts", ["position"], sqlite_where=_LIVE, postgresql_where=_LIVE
    )
    op.create_index(
        "verdicts_severe", "verdicts", ["content"], sqlite_where=_SEVERE, postgresql_where=_SEVERE
    )
