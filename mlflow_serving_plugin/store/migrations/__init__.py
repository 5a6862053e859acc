"""Alembic migrations of the plugin's tables."""
