"""The ends of updates of serving endpoints: an update succeeds when all hosts are ready, and fails with the first."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping
from dataclasses import replace
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
_SETTLE, _SEE = "settle updates", "see host"
_RETRY_S = 2.0
_WAIT_S = 0.5
_SEEN_EVERY_S = 10.0
_GONE_MS = 30_000
"""A host that was not seen for so long keeps no update from its end."""


class Updates:
    """Belongs to the loop's thread. ``host``: a name that no other host has.

    That an end was recorded shows in the store's revision, on each host.
    """

    def __init__(self, store: Store, tasks: Tasks, host: str) -> None:
        self._store = store
        self._tasks = tasks
        self._host = host
        self._next = 0.0
        self._next_seen = 0.0

    def see_to(self, view: View, routes: Routes, now: float) -> None:
        """Record what the routes show of updates: that this host is ready, and the ends."""
        serving = [endpoint for endpoint in view.endpoints.values() if endpoint.spec is not None]
        # Before there is any serving endpoint too: the first, made on another host, waits for this one.
        if now >= self._next_seen and not self._tasks.running(_SEE):
            self._next_seen = now + _SEEN_EVERY_S
            self._tasks.start(_SEE, partial(self._store.see_host, self._host, _now_ms()), self._seen)
        if now < self._next or self._tasks.running(_SETTLE):
            return
        ended = []
        for endpoint in serving:
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

    def _record(self, ended: list[tuple[Endpoint, ServedConfig, str]]) -> bool:
        """Whether all of the updates have ended. One that this host is ready for may wait for another host."""
        whole = True
        now_ms = _now_ms()
        hosts = self._store.hosts(now_ms - _GONE_MS) | {self._host}
        for endpoint, config, failure in ended:
            if failure:
                message = f"Configuration {config.version} of '{endpoint.name}' could not be served: {failure}"
                change = partial(_failed, config.version, failure, now_ms)
                self._store.settle(endpoint, change, "ENDPOINT_UPDATE_FAILED", message)
                continue
            self._store.settle(endpoint, partial(_ready, config.version, self._host))
            message = f"Configuration {config.version} of '{endpoint.name}' is served."
            succeeded = partial(_succeeded, config.version, hosts, now_ms)
            whole &= self._store.settle(endpoint, succeeded, "ENDPOINT_UPDATED", message)
        return whole

    def _seen(self, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            _logger.debug("Other hosts cannot be told of this host, trying again: %s", outcome.reason)
            self._next_seen = now + _RETRY_S

    def _recorded(self, outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            _logger.warning("The end of an update could not be recorded, trying again: %s", outcome.reason)
            self._next = now + _RETRY_S
        elif not outcome.value:
            self._next = now + _WAIT_S


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


def _ready(version: int, host: str, spec: ServingSpec) -> ServingSpec:
    """The specification when a host is ready for a version, unless another update has begun or this one has ended."""
    if spec.pending is None or spec.pending.version != version or host in spec.pending.ready_on:
        return spec
    return replace(spec, pending=replace(spec.pending, ready_on=(*spec.pending.ready_on, host)))


def _succeeded(version: int, hosts: Collection[str], now_ms: int, spec: ServingSpec) -> ServingSpec:
    """The specification after the update to a version, once all hosts are ready."""
    if spec.pending is None or spec.pending.version != version or not set(hosts) <= set(spec.pending.ready_on):
        return spec
    return spec.succeed(now_ms)


def _failed(version: int, failure: str, now_ms: int, spec: ServingSpec) -> ServingSpec:
    """The specification after an update that has failed on some host."""
    return spec if spec.pending is None or spec.pending.version != version else spec.fail(failure, now_ms)


def _now_ms() -> int:
    return int(time.time() * 1000)
