"""Endpoints and events."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    op.create_table(
        "serving_endpoints",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("workspace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("config", sa.Text(), nullable=False),
        sa.Column("model_created_ms", sa.BigInteger(), nullable=False),
        sa.UniqueConstraint("workspace", "name", name="uq_serving_endpoints_workspace_name"),
    )
    op.create_table(
        "serving_events",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("endpoint_id", sa.String(32), nullable=False),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=True),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("ix_serving_events_endpoint_id", "serving_events", ["endpoint_id"])
    op.create_index("ix_serving_events_timestamp_ms", "serving_events", ["timestamp_ms"])


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("serving_events")
    op.drop_table("serving_endpoints")
