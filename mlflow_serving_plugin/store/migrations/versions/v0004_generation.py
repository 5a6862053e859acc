"""Each change that somebody asks for has a number, so that whoever waits knows what to wait for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Endpoints begin at 0."""
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.add_column(sa.Column("generation", sa.BigInteger(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Without numbers again."""
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.drop_column("generation", mssql_drop_default=True)
