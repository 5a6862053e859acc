"""Serving endpoints in memory, as ``store.serving.ServingStore`` keeps them in a database."""

from __future__ import annotations

import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import replace

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.serving import ServingSpec
from mlflow_serving_plugin.errors import AlreadyExistsError, NotFoundError

Change = Callable[[ServingSpec], ServingSpec]


class MemoryServing(ABC):
    """The part of ``MemoryStore`` that is about serving endpoints."""

    _endpoints: dict[str, Endpoint]
    _enabled: set[str]
    _hosts: dict[str, int]

    def find_serving(self, workspace: str, name: str) -> Endpoint | None:
        found = (endpoint for endpoint in self.find_all_serving() if endpoint.workspace == workspace)
        return next((endpoint for endpoint in found if endpoint.name == name), None)

    def find_all_serving(self) -> list[Endpoint]:
        with self._use():
            found = [endpoint for endpoint in self._endpoints.values() if endpoint.spec is not None]
            return sorted(found, key=lambda endpoint: (endpoint.workspace, endpoint.name))

    def create(self, workspace: str, name: str, spec: ServingSpec, *, by: str | None) -> Endpoint:
        with self._use():
            if self.find_serving(workspace, name) is not None:
                raise AlreadyExistsError(f"A serving endpoint of the name '{name}' exists already.")
            endpoint = Endpoint(uuid.uuid4().hex, workspace, name, EndpointConfig(), 0, 1, spec)
            self._endpoints[endpoint.id] = endpoint
            self._enabled.add(endpoint.id)
            self.record(endpoint.id, "ENDPOINT_CREATED", f"Serving endpoint '{name}' was created{_by(by)}.")
            return endpoint

    def change(self, endpoint: Endpoint, change: Change, kind: str, message: str, *, by: str | None = None) -> Endpoint:
        with self._use():
            present, spec = self._present(endpoint)
            changed = replace(present, spec=change(spec), generation=present.generation + 1)
            self._endpoints[endpoint.id] = changed
            self.record(endpoint.id, kind, f"{message}{_by(by)}.")
            return changed

    def settle(self, endpoint: Endpoint, change: Change, kind: str = "", message: str = "") -> bool:
        with self._use():
            if endpoint.id not in self._endpoints:
                return False
            present, spec = self._present(endpoint)
            after = change(spec)
            if after == spec:
                return False
            self._endpoints[endpoint.id] = replace(present, spec=after)
            if kind:
                self.record(endpoint.id, kind, message)
            return True

    def see_host(self, host: str, now_ms: int) -> None:
        with self._use():
            self._hosts[host] = now_ms

    def hosts(self, since_ms: int) -> frozenset[str]:
        with self._use():
            return frozenset(host for host, seen_ms in self._hosts.items() if seen_ms >= since_ms)

    def follow(self, endpoint: Endpoint, model_created_ms: int, name: str) -> Endpoint:
        message = f"A model of serving endpoint '{endpoint.name}' was renamed to '{name}'."
        self.settle(endpoint, lambda spec: spec.renamed(model_created_ms, name), "MODEL_RENAMED", message)
        return self._endpoints.get(endpoint.id, endpoint)

    def delete(self, endpoint: Endpoint, *, by: str | None) -> None:
        with self._use():
            if endpoint.id in self._endpoints:
                message = f"Serving endpoint '{endpoint.name}' was deleted{_by(by)}."
                self.record(endpoint.id, "ENDPOINT_DELETED", message)
                self._forget(endpoint)

    @abstractmethod
    def record(self, endpoint_id: str, kind: str, message: str) -> None: ...

    @abstractmethod
    def _use(self) -> threading.RLock: ...

    @abstractmethod
    def _forget(self, endpoint: Endpoint) -> None: ...

    def _present(self, endpoint: Endpoint) -> tuple[Endpoint, ServingSpec]:
        present = self._endpoints.get(endpoint.id)
        if present is None or present.spec is None:
            raise NotFoundError(f"There is no serving endpoint '{endpoint.name}' any more.")
        return present, present.spec


def _by(user: str | None) -> str:
    return f" by {user}" if user else ""
