"""Tokens."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "serving_tokens",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("owner", sa.String(255), nullable=False),
        sa.Column("account", sa.String(64), nullable=False),
        sa.Column("comment", sa.Text(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expiry_ms", sa.BigInteger(), nullable=False),
        sa.Column("scope_workspace", sa.String(63), nullable=True),
        sa.Column("scope_name", sa.String(256), nullable=True),
        sa.Column("last_used_ms", sa.BigInteger(), nullable=True),
    )
    op.create_index("ix_serving_tokens_digest", "serving_tokens", ["digest"], unique=True)
    op.create_index("ix_serving_tokens_owner", "serving_tokens", ["owner"])


def downgrade() -> None:
    """Drop the table."""
    op.drop_table("serving_tokens")
