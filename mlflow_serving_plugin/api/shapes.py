"""Reply shapes that several control APIs share. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mlflow_serving_plugin.domain.events import Event


def event_page(page: tuple[list[Event], str | None], shape: Callable[[Event], dict[str, Any]]) -> dict[str, Any]:
    """A page of events, and the token of the next page if there is one."""
    events, next_page = page
    return {"events": [shape(found) for found in events]} | ({"next_page_token": next_page} if next_page else {})


def event(found: Event) -> dict[str, Any]:
    """One event; ``endpoint_version_name`` is null for an event of the endpoint as a whole.

    ``hosts``: where it happened; none for what people changed.
    """
    return {
        "timestamp": found.timestamp_ms,
        "event_type": found.type,
        "endpoint_version_name": found.entity,
        "message": found.message,
        "hosts": list(found.hosts),
    }
