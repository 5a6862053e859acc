"""Reply shapes that several control APIs share. Pure."""

from __future__ import annotations

from typing import Any

from mlflow_serving_plugin.domain.events import Event


def event(found: Event) -> dict[str, Any]:
    """One event; ``endpoint_version_name`` is null for an event of the endpoint as a whole."""
    return {
        "timestamp": found.timestamp_ms,
        "event_type": found.type,
        "endpoint_version_name": found.entity,
        "message": found.message,
    }
