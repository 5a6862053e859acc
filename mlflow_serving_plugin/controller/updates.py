"""The ends of updates of serving endpoints: each is recorded once, by the host that sees the end first."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial

from mlflow_serving_plugin.controller.desired import View
from mlflow_serving_plugin.controller.status import key_of
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.routes import EntityRoute, Routes
from mlflow_serving_plugin.domain.serving import ServedConfig, ServingSpec
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.store.endpoints import Store

_logger = logging.getLogger(__name__)
_SETTLE = "settle updates"
_RETRY_S = 2.0


class Updates:
    """Belongs to the loop's thread. That an end was recorded shows in the store's revision, on each host."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._next = 0.0

    def see_to(self, view: View, routes: Routes, now: float) -> None:
        """Record the ends of all updates that the routes show to have ended."""
        if now < self._next or self._tasks.running(_SETTLE):
            return
        ended = []
        for endpoint in view.endpoints.values():
            if endpoint.spec is None or endpoint.spec.pending is None:
                continue
            route = routes.endpoints.get(key_of(endpoint))
            if route is None or route.generation < endpoint.generation:
                continue
            outcome = outcome_of(endpoint, endpoint.spec.pending, routes.entities)
            if outcome is not None:
                ended.append((endpoint, endpoint.spec.pending, outcome))
        if ended:
            self._tasks.start(_SETTLE, partial(self._record, ended), self._recorded)

    def _record(self, ended: list[tuple[Endpoint, ServedConfig, str]]) -> None:
        for endpoint, config, failure in ended:
            change = partial(_after, config.version, failure, int(time.time() * 1000))
            if failure:
                message = f"Configuration {config.version} of '{endpoint.name}' could not be served: {failure}"
                self._store.settle(endpoint, change, "ENDPOINT_UPDATE_FAILED", message)
            else:
                message = f"Configuration {config.version} of '{endpoint.name}' is served."
                self._store.settle(endpoint, change, "ENDPOINT_UPDATED", message)

    def _recorded(self, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            _logger.warning("The end of an update could not be recorded, trying again: %s", outcome.reason)
            self._next = now + _RETRY_S


def outcome_of(endpoint: Endpoint, config: ServedConfig, entities: Mapping[str, EntityRoute]) -> str | None:
    """Why an update has failed; empty when all entities serve; None while the update is under way."""
    found = [(entity, entities.get(f"{endpoint.id}/{entity.key_name}")) for entity in config.entities]
    for entity, route in found:
        if route is None:
            version = f"version {entity.version} of registered model '{entity.model}'"
            return f"Entity '{entity.name}': the registry has no {version}."
        if route.state is EntityState.FAILED:
            return f"Entity '{entity.name}': {route.message}"
    ready = all(route is not None and route.state.facts.serves for _, route in found)
    return "" if ready else None


def _after(version: int, failure: str, now_ms: int, spec: ServingSpec) -> ServingSpec:
    """The specification after the update to a version, unless another update has begun or this one has ended."""
    if spec.pending is None or spec.pending.version != version:
        return spec
    return spec.fail(failure, now_ms) if failure else spec.succeed(now_ms)
