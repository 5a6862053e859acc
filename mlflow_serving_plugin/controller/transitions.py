"""The events that two snapshots in a row give: one for each change of a state. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlflow_serving_plugin.domain.entity import name_order
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.states import EntityState

Change = tuple[str, str]
"""An event's type and message."""


def transitions(before: Routes, after: Routes, now_ms: int) -> list[tuple[str, Event]]:
    """What happened between two snapshots: ``(endpoint id, event)`` pairs, an endpoint's entities before itself."""
    found: list[tuple[str, Event]] = []
    earlier = {endpoint.id: endpoint for endpoint in before.endpoints.values()}
    for endpoint in after.endpoints.values():
        then = earlier.get(endpoint.id)
        names = {entity.name for entity in (before.entities_of(then) if then else []) + after.entities_of(endpoint)}
        for name in sorted(names, key=name_order):
            key = f"{endpoint.id}/{name}"
            for kind, message in _entity_changes(before.entities.get(key), after.entities.get(key)):
                event = Event(now_ms, endpoint.workspace, endpoint.name, name, kind, message)
                found.append((endpoint.id, event))
        for kind, message in _endpoint_changes(then, endpoint):
            found.append((endpoint.id, Event(now_ms, endpoint.workspace, endpoint.name, None, kind, message)))
    return found


def _entity_changes(then: EntityRoute | None, now: EntityRoute | None) -> Iterable[Change]:
    if now is None:
        yield "VERSION_REMOVED", "No longer active in the registry; its workers are stopped."
        return
    if then is None or then.state is not now.state:
        yield f"VERSION_{now.state.value}", now.message or _in_words(now)
    elif now.message and now.message != then.message and now.state.facts.explained:
        yield now.state.facts.explained, now.message
    if now.environment and (then is None or now.environment != then.environment):
        yield "VERSION_ENVIRONMENT", f"Environment: {now.environment}."
    if now.note and (then is None or now.note != then.note):
        yield "VERSION_BATCHING", now.note


def _endpoint_changes(then: EndpointRoute | None, now: EndpointRoute) -> Iterable[Change]:
    if then is None or then.state is not now.state:
        yield f"ENDPOINT_{now.state.value}", now.message or "Serving."


def _in_words(entity: EntityRoute) -> str:
    if entity.state is not EntityState.READY:
        return f"{entity.state.facts.label}."
    if entity.scored_example:
        return "Serving: the model loaded and answered its own input example."
    return "Serving: the model loaded. It has no input example, so no prediction was tried."
