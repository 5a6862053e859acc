"""Alembic's entry point: runs the migrations on the connection that ``store.database`` hands over."""

from __future__ import annotations

from alembic import context

from mlflow_serving_plugin.store.database import VERSION_TABLE
from mlflow_serving_plugin.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
