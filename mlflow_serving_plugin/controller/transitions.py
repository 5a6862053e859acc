"""The events that two snapshots in a row give: one for each change of a state. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from mlflow_serving_plugin.domain.entity import EntityKey, name_order
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.placement import placement
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.states import EntityState

Change = tuple[str, str]
"""An event's type and message."""


def transitions(before: Routes, after: Routes, now_ms: int) -> list[tuple[str, Event]]:
    """What happened between two snapshots: ``(endpoint id, event)`` pairs, the entities before the endpoints."""
    found: list[tuple[str, Event]] = []
    endpoints = {endpoint.id: endpoint for endpoint in [*before.endpoints.values(), *after.endpoints.values()]}
    # What has not changed is the very same in both.
    changed = {
        key for key in {*before.entities, *after.entities} if before.entities.get(key) is not after.entities.get(key)
    }
    for key in _in_order(changed):
        then, now = before.entities.get(str(key)), after.entities.get(str(key))
        endpoint = endpoints.get(key.endpoint_id)
        for kind, message in _entity_changes(then, now):
            # An entity drains for longer than its disabled endpoint is in the snapshot.
            workspace, name = (endpoint.workspace, endpoint.name) if endpoint else ("", "")
            found.append((key.endpoint_id, Event(now_ms, workspace, name, key.name, kind, message)))
    earlier = {endpoint.id: endpoint for endpoint in before.endpoints.values()}
    for endpoint in after.endpoints.values():
        for kind, message in _endpoint_changes(earlier.get(endpoint.id), endpoint):
            found.append((endpoint.id, Event(now_ms, endpoint.workspace, endpoint.name, None, kind, message)))
        for kind, message in _traffic_changes(before, after, endpoint):
            found.append((endpoint.id, Event(now_ms, endpoint.workspace, endpoint.name, None, kind, message)))
    return found


def _in_order(keys: set[str]) -> list[EntityKey]:
    parts = [EntityKey(*key.split("/", 1)) for key in keys]
    return sorted(parts, key=lambda key: (key.endpoint_id, name_order(key.name)))


def _entity_changes(then: EntityRoute | None, now: EntityRoute | None) -> Iterable[Change]:
    if now is None:
        yield "VERSION_REMOVED", "No longer active; its workers have ended."
        return
    if then is None or then.state is not now.state:
        yield f"VERSION_{now.state.value}", now.message or _in_words(now)
    elif now.message and now.message != then.message and now.state.facts.explained:
        yield now.state.facts.explained, now.message
    if now.environment and (then is None or now.environment != then.environment):
        yield "VERSION_ENVIRONMENT", f"Environment: {now.environment}."
    if now.note and (then is None or now.note != then.note):
        yield "VERSION_BATCHING", now.note
    where = placement(now.workers)
    if where and (then is None or where != placement(then.workers)):
        yield "VERSION_PLACED", where


def _endpoint_changes(then: EndpointRoute | None, now: EndpointRoute) -> Iterable[Change]:
    if then is now:
        return
    if then is None or then.state is not now.state:
        yield f"ENDPOINT_{now.state.value}", now.message or "Serving."
    if then is None or now.models is not None:
        return
    for alias in sorted({*then.aliases, *now.aliases}):
        before, after = then.aliases.get(alias), now.aliases.get(alias)
        if before != after:
            moved = f"moved from version {before} to {after}" if before and after else ""
            yield "ALIAS_MOVED", f"@{alias}: {moved or (f'set on version {after}' if after else 'removed')}."


def _traffic_changes(before: Routes, after: Routes, endpoint: EndpointRoute) -> Iterable[Change]:
    """What became of the shares of entities that served before. While an endpoint starts, nothing moves."""
    if not endpoint.traffic:
        return
    now, then = _serving(after, endpoint), _serving(before, endpoint)
    for name, percent in endpoint.traffic:
        key = f"{endpoint.id}/{name}"
        entity = after.entities.get(key) or before.entities.get(key)
        if entity is None or not percent or key not in before.entities or not now | then:
            continue
        if name in then and name not in now and now:
            yield "TRAFFIC_MOVED", f"The {percent} % of {entity.title} go to the other entities: {entity.message}"
        elif name in now and name not in then and then:
            yield "TRAFFIC_RESTORED", f"{entity.title[0].upper()}{entity.title[1:]} has its {percent} % again."


def _serving(routes: Routes, endpoint: EndpointRoute) -> set[str]:
    """The entities of the split that answer, in these routes."""
    found = {name: routes.entities.get(f"{endpoint.id}/{name}") for name, percent in endpoint.traffic if percent}
    return {name for name, entity in found.items() if entity is not None and entity.state.facts.serves}


def _in_words(entity: EntityRoute) -> str:
    if entity.state is not EntityState.READY:
        return f"{entity.state.facts.label}."
    if entity.example_note:
        return f"Serving: the model loaded. {entity.example_note}"
    if entity.scored_example:
        return "Serving: the model loaded and answered its own input example."
    return "Serving: the model loaded. It has no input example, so no prediction was tried."
