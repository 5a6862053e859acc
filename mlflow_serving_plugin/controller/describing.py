"""Makes the routes, again and again: parts that would be made of the same as before are taken over."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity, View, model_of
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.status import draining_routes, endpoint_route, entity_route, key_of
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.shared import thrifty_endpoint, thrifty_entity

_MadeOf = tuple[object, ...]


class Describer:
    """Remembers the parts that were made last, each with all that it was made of: most of thousands do not change.

    ``build_log``: where the log of an environment's build is.
    """

    def __init__(self, default_timeout_s: float, build_log: Callable[[str], Path | None] = lambda _: None) -> None:
        self._default_timeout_s = default_timeout_s
        self._build_log = build_log
        self._entities: dict[EntityKey, tuple[_MadeOf, EntityRoute]] = {}
        self._endpoints: dict[str, tuple[_MadeOf, EndpointRoute]] = {}

    def describe(
        self,
        view: View,
        desired: Mapping[EntityKey, DesiredEntity],
        replicas: Mapping[EntityKey, int],
        observed: Observed,
        before: Routes,
        *,
        now_ms: int,
    ) -> Routes:
        """The routes now. ``since_ms`` of an entity whose state is as in ``before`` stays as it was."""
        by_key, known = observed.by_key(), self._entities
        self._entities = {}
        for key, wanted in desired.items():
            workers = by_key.get(key, [])
            of = made_of(wanted, replicas[key], workers, observed)
            entity = known.get(key)
            if entity is None or entity[0] != of:
                made = entity_route(wanted, replicas[key], workers, observed, before, now_ms, self._build_log)
                entity = of, thrifty_entity(made)
            self._entities[key] = entity
        entities = {str(key): entity for key, (_, entity) in self._entities.items()}
        entities |= draining_routes(desired, observed, before, now_ms)
        return Routes(written_ms=now_ms, endpoints=self._describe_endpoints(view, entities), entities=entities)

    def _describe_endpoints(self, view: View, entities: Mapping[str, EntityRoute]) -> dict[str, EndpointRoute]:
        of_endpoint: dict[str, list[EntityRoute]] = {}
        for entity in entities.values():
            of_endpoint.setdefault(entity.key.endpoint_id, []).append(entity)
        known, self._endpoints = self._endpoints, {}
        found = {}
        for endpoint in view.endpoints.values():
            some = of_endpoint.get(endpoint.id, [])
            model = view.models.get(model_of(endpoint)) if endpoint.spec is None else None
            of = endpoint, model, *some
            described = known.get(endpoint.id)
            if described is None or described[0] != of:
                described = of, thrifty_endpoint(endpoint_route(endpoint, model, some, self._default_timeout_s))
            self._endpoints[endpoint.id] = described
            found[key_of(endpoint)] = described[1]
        return found


def made_of(wanted: DesiredEntity, replicas: int, workers: Sequence[WorkerStatus], observed: Observed) -> _MadeOf:
    """All that ``entity_route`` looks at, but the entity's last route, which is made of the like."""
    key, need = wanted.key, observed.needs.get(wanted.key)
    return (
        wanted,
        replicas,
        *workers,
        need,
        observed.building.get(need.recipe.key) if need is not None and observed.building else None,
        observed.proofs.get(key),
        observed.failures.get(key),
        observed.held_back.get(key),
        observed.launching.get(key),
        key in observed.fetching,
        key in observed.unread,
    )
