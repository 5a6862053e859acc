"""The audit has a table of its own: it outlives the endpoints and the events that it tells of. Tokens have parents."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

_AUDITED = ("ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED", "ENDPOINT_DISABLED", "TOKEN_CREATED", "TOKEN_REVOKED")


def upgrade() -> None:
    """Begin with what the events still tell."""
    audit = op.create_table(
        "serving_audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True, autoincrement=True),
        sa.Column("timestamp_ms", sa.BigInteger(), nullable=False),
        sa.Column("workspace", sa.String(63), nullable=False),
        sa.Column("name", sa.String(256), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
    )
    op.create_index("ix_serving_audit_timestamp_ms", "serving_audit", ["timestamp_ms"])
    events = sa.table("serving_events", *_columns("id", "endpoint_id", "timestamp_ms", "type", "message"))
    endpoints = sa.table("serving_endpoints", *_columns("id", "workspace", "name"))
    told = (
        sa.select(
            events.c.timestamp_ms,
            sa.func.coalesce(endpoints.c.workspace, ""),
            sa.func.coalesce(endpoints.c.name, ""),
            events.c.type,
            events.c.message,
        )
        .select_from(events.outerjoin(endpoints, endpoints.c.id == events.c.endpoint_id))
        .where(events.c.type.in_(_AUDITED))
        .order_by(events.c.id)
    )
    with op.batch_alter_table("serving_tokens") as tokens:
        tokens.add_column(sa.Column("parent", sa.String(32), nullable=True))
        tokens.create_index("ix_serving_tokens_parent", ["parent"])
    op.execute(audit.insert().from_select(["timestamp_ms", "workspace", "name", "type", "message"], told))


def _columns(*names: str) -> list[sa.ColumnClause[Any]]:
    return [sa.column(name) for name in names]


def downgrade() -> None:
    """The events of what still exists are there as before."""
    with op.batch_alter_table("serving_tokens") as tokens:
        tokens.drop_index("ix_serving_tokens_parent")
        tokens.drop_column("parent")
    op.drop_table("serving_audit")
