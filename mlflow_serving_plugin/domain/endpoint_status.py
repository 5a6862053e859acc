"""An endpoint's state and the reason, derived from its entities: the one place that decides. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlflow_serving_plugin.domain.entity import name_order
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.domain.states import EndpointState, EntityState

_ASLEEP = "Asleep: the next request starts a worker."


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """``reason``: the entity, if any, that the state comes from."""

    state: EndpointState
    message: str
    reason: EntityRoute | None = None


def endpoint_status(entities: Sequence[EntityRoute], *, known: bool = True) -> EndpointStatus:
    """The status of an endpoint with these entities, in the order of their names. Entities that drain do not count.

    ``known``: whether the registered model has been read.
    """
    active = [entity for entity in entities if entity.state is not EntityState.DRAINING]
    if not known:
        return EndpointStatus(EndpointState.STARTING, "Reading the model from the registry.")
    if not active:
        return EndpointStatus(EndpointState.EMPTY, "No active version. The next version registered will be served.")
    failed = [entity for entity in active if entity.state is EntityState.FAILED]
    starting = [e for e in active if e.state is not EntityState.FAILED and not e.state.facts.serves]
    if len(failed) + len(starting) < len(active):
        impaired = failed or [entity for entity in active if entity.degraded]
        if not impaired:
            asleep = all(entity.state is EntityState.ASLEEP for entity in active)
            return EndpointStatus(EndpointState.READY, _ASLEEP if asleep else "")
        return EndpointStatus(EndpointState.DEGRADED, _failures(failed, active, impaired[-1]), impaired[-1])
    if not starting:
        return EndpointStatus(EndpointState.FAILED, _failures(failed, active, failed[-1]), failed[-1])
    newest = starting[-1]
    others = f" {_count(failed, active)} failed." if failed else ""
    return EndpointStatus(EndpointState.STARTING, f"Starting {newest.title}.{others}", newest)


def serving_status(entities: Sequence[EntityRoute], gone: Sequence[str]) -> EndpointStatus:
    """The status of a serving endpoint with these entities that answer.

    ``gone``: the entities whose model versions the registry has not, as after the removal of an alias.
    """
    rest = endpoint_status(entities)
    if not gone:
        return rest
    names = ", ".join(f"'{name}'" for name in gone)
    lost = f"The registry has no such version of the model of {'entity' if len(gone) == 1 else 'entities'} {names}."
    if rest.state is EndpointState.EMPTY:
        return EndpointStatus(EndpointState.FAILED, lost)
    state = EndpointState.DEGRADED if rest.state is EndpointState.READY else rest.state
    return EndpointStatus(state, f"{lost} {rest.message}".rstrip(), rest.reason)


def latest_of(entities: Sequence[EntityRoute]) -> str | None:
    """What ``latest`` means: the newest entity that serves, else the newest. ``entities``: those that are active."""
    ready = [entity.name for entity in entities if entity.state.facts.serves]
    return max(ready or [entity.name for entity in entities], key=name_order, default=None)


def latest_message(entities: Sequence[EntityRoute]) -> str:
    """Why ``latest`` stays on an older version; empty when ``latest`` is the newest. In the order of their names."""
    latest = latest_of(entities)
    if latest is None or latest == entities[-1].name:
        return ""
    newest = entities[-1]
    why = "has failed" if newest.state is EntityState.FAILED else "is not ready yet"
    return f"latest stays on version {latest}: version {newest.name} {why}."


def _failures(failed: Sequence[EntityRoute], active: Sequence[EntityRoute], worst: EntityRoute) -> str:
    reason = f"{worst.title[0].upper()}{worst.title[1:]}: {worst.message}"
    return f"{_count(failed, active)} failed. {reason}" if failed and len(active) > 1 else reason


def _count(some: Sequence[EntityRoute], entities: Sequence[EntityRoute]) -> str:
    noun = "entities" if entities[0].served_name else "versions"
    return f"{len(some)} of {len(entities)} {noun}"
