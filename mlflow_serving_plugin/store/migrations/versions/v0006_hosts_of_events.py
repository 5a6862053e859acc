"""Events say on which hosts they happened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Earlier events are of no host."""
    # MySQL gives a TEXT no default but an expression's; SQLite takes no expression here.
    none = sa.text("('')") if op.get_context().dialect.name == "mysql" else ""
    with op.batch_alter_table("serving_events") as events:
        events.add_column(sa.Column("hosts", sa.Text(), nullable=False, server_default=none))


def downgrade() -> None:
    """Without hosts again."""
    with op.batch_alter_table("serving_events") as events:
        events.drop_column("hosts", mssql_drop_default=True)
