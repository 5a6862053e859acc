"""Tokens of workers whose models may use the server's tracking API."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Workers get theirs when they start."""
    op.create_table(
        "serving_worker_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("endpoint_id", sa.String(32), nullable=False),
        sa.Column("entity", sa.String(256), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
    )
    op.create_index("ix_serving_worker_tokens_digest", "serving_worker_tokens", ["digest"], unique=True)
    op.create_index("ix_serving_worker_tokens_endpoint_id", "serving_worker_tokens", ["endpoint_id"])


def downgrade() -> None:
    """Workers are refused by the tracking API."""
    op.drop_table("serving_worker_tokens")
