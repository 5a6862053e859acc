"""The hosts that serve: an update of a serving endpoint ends when all of them are ready."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Each host writes itself."""
    op.create_table(
        "serving_hosts",
        sa.Column("host", sa.String(255), primary_key=True),
        sa.Column("seen_ms", sa.BigInteger(), nullable=False),
    )


def downgrade() -> None:
    """An update ends when the first host is ready."""
    op.drop_table("serving_hosts")
