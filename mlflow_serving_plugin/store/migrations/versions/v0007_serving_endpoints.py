"""A serving endpoint may have the name of a registered model that is served: names are unique within a kind."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_OLD, _NEW = "uq_serving_endpoints_workspace_name", "uq_serving_endpoints_workspace_kind_name"


def upgrade() -> None:
    """Names of one kind only have been unique so far."""
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.drop_constraint(_OLD, type_="unique")
        endpoints.create_unique_constraint(_NEW, ["workspace", "kind", "name"])


def downgrade() -> None:
    """Serving endpoints are lost."""
    endpoints_table = sa.table("serving_endpoints", sa.column("kind", sa.String))
    op.execute(endpoints_table.delete().where(endpoints_table.c.kind != "model"))
    with op.batch_alter_table("serving_endpoints") as endpoints:
        endpoints.drop_constraint(_NEW, type_="unique")
        endpoints.create_unique_constraint(_OLD, ["workspace", "name"])
