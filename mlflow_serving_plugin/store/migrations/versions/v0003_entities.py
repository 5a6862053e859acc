"""Kinds of endpoints; events name an entity by text instead of a version by number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Every endpoint so far serves the versions of one model. An event of version 3 is one of the entity ``3``."""
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.add_column(sa.Column("kind", sa.String(32), nullable=False, server_default="model"))
        endpoints.add_column(sa.Column("spec", sa.Text(), nullable=True))
    with op.batch_alter_table("serving_events") as events:
        events.add_column(sa.Column("entity", sa.String(256), nullable=True))
    events_table = sa.table("serving_events", sa.column("version", sa.BigInteger), sa.column("entity", sa.String))
    has_version = events_table.c.version.is_not(None)
    name = sa.cast(events_table.c.version, sa.String(256))
    op.execute(events_table.update().where(has_version).values(entity=name))
    with op.batch_alter_table("serving_events") as events:
        events.drop_column("version")


def downgrade() -> None:
    """Back to numbers. Endpoints of other kinds, and the names of entities that are no numbers, are lost."""
    with op.batch_alter_table("serving_events") as events:
        events.add_column(sa.Column("version", sa.BigInteger(), nullable=True))
    connection = op.get_bind()
    events_table = sa.table("serving_events", sa.column("version", sa.BigInteger), sa.column("entity", sa.String))
    names = connection.scalars(sa.select(events_table.c.entity).where(events_table.c.entity.is_not(None)).distinct())
    for name in [name for name in names.all() if name.isascii() and name.isdigit()]:
        op.execute(events_table.update().where(events_table.c.entity == name).values(version=int(name)))
    with op.batch_alter_table("serving_events") as events:
        events.drop_column("entity")
    endpoints_table = sa.table("serving_endpoints", sa.column("kind", sa.String))
    op.execute(endpoints_table.delete().where(endpoints_table.c.kind != "model"))
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.drop_column("spec")
        endpoints.drop_column("kind", mssql_drop_default=True)
