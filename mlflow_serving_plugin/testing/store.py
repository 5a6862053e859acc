"""Endpoints and their events in memory, as ``store.endpoints.Store`` keeps them in a database."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event, is_same, storable
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError
from mlflow_serving_plugin.store.events import AUDITED, REMOVED
from mlflow_serving_plugin.store.tables import MODEL
from mlflow_serving_plugin.testing.serving import MemoryServing


class MemoryStore(MemoryServing):
    """Endpoints, those given are enabled, and events. ``broken``: an error that every call raises."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.broken: Exception | None = None
        self._lock = threading.RLock()
        self._endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self._enabled = set(self._endpoints)
        self._hosts: dict[str, int] = {}
        self._events: list[tuple[int, str, Event]] = []
        self._audit: list[tuple[int, str, Event]] = []
        self._last_event = 0
        self._ids: Counter[str] = Counter()

    def find(self, workspace: str, name: str) -> Endpoint | None:
        with self._use():
            found = self._named(workspace, name)
            return found if found is not None and found.id in self._enabled else None

    def enabled(self) -> list[Endpoint]:
        with self._use():
            found = [endpoint for endpoint in self._endpoints.values() if endpoint.id in self._enabled]
            return sorted(found, key=lambda endpoint: (endpoint.workspace, endpoint.name))

    def enable(
        self, workspace: str, name: str, *, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        with self._use():
            found = self._named(workspace, name)
            if found is not None and found.model_created_ms != model_created_ms:
                self.remove(found)
                found = None
            if found is None:
                found = Endpoint(self._new_id(name), workspace, name, config or EndpointConfig(), model_created_ms)
            endpoint = found if config is None else replace(found, config=config)
            self._endpoints[endpoint.id] = replace(endpoint, generation=endpoint.generation + 1)
            if endpoint.id not in self._enabled:
                self._enabled.add(endpoint.id)
                self.record(endpoint.id, "ENDPOINT_ENABLED", f"Serving was enabled{_by(by)}.")
            elif endpoint != found:
                self.record(endpoint.id, "ENDPOINT_CONFIGURED", f"The configuration was changed{_by(by)}.")
            return self._endpoints[endpoint.id]

    def disable(self, workspace: str, name: str, *, by: str | None) -> bool:
        with self._use():
            found = self.find(workspace, name)
            if found is None:
                return False
            self._enabled.remove(found.id)
            self.record(found.id, "ENDPOINT_DISABLED", f"Serving was disabled{_by(by)}.")
            return True

    def configure(self, workspace: str, name: str, config: EndpointConfig, *, by: str | None) -> Endpoint:
        with self._use():
            found = self.find(workspace, name)
            if found is None:
                raise NotFoundError(f"Serving is not enabled on registered model '{name}'.")
            if config == found.config:
                return found
            return self.enable(workspace, name, model_created_ms=found.model_created_ms, config=config, by=by)

    def rename(self, endpoint: Endpoint, name: str) -> None:
        with self._use():
            taken = self._named(endpoint.workspace, name)
            if endpoint.id not in self._endpoints or (taken is not None and taken.id in self._enabled):
                return
            if taken is not None:
                self.remove(taken)
            self._endpoints[endpoint.id] = replace(self._endpoints[endpoint.id], name=name)
            self.record(endpoint.id, "MODEL_RENAMED", f"The model was renamed from '{endpoint.name}' to '{name}'.")

    def remove(self, endpoint: Endpoint) -> None:
        with self._use():
            if endpoint.id in self._endpoints:
                self.record(endpoint.id, REMOVED, "Serving ended: the registered model was deleted, or replaced.")
            self._forget(endpoint)

    def _forget(self, endpoint: Endpoint) -> None:
        self._endpoints.pop(endpoint.id, None)
        self._enabled.discard(endpoint.id)
        self._events = [kept for kept in self._events if kept[1] != endpoint.id]

    def add_events(self, events: Iterable[tuple[str, Event]]) -> None:
        with self._use():
            for endpoint_id, event in events:
                if endpoint_id in self._endpoints:
                    self._add(endpoint_id, event)

    def record(self, endpoint_id: str, kind: str, message: str) -> None:
        """Add an event of now, of an endpoint as a whole or of none (``server``); to the audit as well."""
        event = Event(int(time.time() * 1000), "", "", None, kind, storable(message))
        if endpoint_id in self._endpoints:
            self._add(endpoint_id, event)
        if kind in AUDITED:
            self._audit.append((self.revision() + 1, endpoint_id, self._named_event(endpoint_id, event)))

    def events(
        self,
        workspace: str,
        name: str,
        *,
        entity: str | None,
        page_token: str | None,
        limit: int,
        kind: str = MODEL,
    ) -> tuple[list[Event], str | None]:
        with self._use():
            endpoint = self._named(workspace, name) if kind == MODEL else self.find_serving(workspace, name)

            def wanted(endpoint_id: str, event: Event) -> bool:
                return endpoint is not None and endpoint_id == endpoint.id and entity in {None, event.entity}

            page, token = self._page(self._events, wanted, page_token, limit)
            return [self._named_event(endpoint.id, event) for event in page] if endpoint else [], token

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        with self._use():
            return self._page(self._audit, lambda *_: True, page_token, limit)

    def revision(self) -> int:
        with self._use():
            return self._audit[-1][0] if self._audit else 0

    def prune_events(self, before_ms: int) -> int:
        with self._use():
            kept = [entry for entry in self._events if entry[2].timestamp_ms >= before_ms]
            pruned = len(self._events) - len(kept)
            self._events = kept
            return pruned

    def prune_audit(self, before_ms: int) -> int:
        with self._use():
            kept = [entry for entry in self._audit if entry[2].timestamp_ms >= before_ms]
            pruned = len(self._audit) - len(kept)
            self._audit = kept
            return pruned

    def _add(self, endpoint_id: str, event: Event) -> None:
        for index, (number, of, earlier) in enumerate(self._events):
            if of == endpoint_id and is_same(earlier, event):
                self._events[index] = (number, of, replace(earlier, hosts=(*earlier.hosts, *event.hosts)))
                return
        self._last_event += 1
        self._events.append((self._last_event, endpoint_id, replace(event, message=storable(event.message))))

    def _page(
        self,
        entries: list[tuple[int, str, Event]],
        wanted: Callable[[str, Event], bool],
        page_token: str | None,
        limit: int,
    ) -> tuple[list[Event], str | None]:
        if page_token is not None and not (page_token.isascii() and page_token.isdigit() and len(page_token) < 19):
            raise InvalidParameterError("page_token is not one that get-event-history gave.")
        below = float("inf") if page_token is None else int(page_token)
        found = [entry for entry in reversed(entries) if entry[0] < below and wanted(*entry[1:])]
        page = [event for _, _, event in found[:limit]]
        return page, str(found[limit - 1][0]) if len(found) > limit else None

    def _named_event(self, endpoint_id: str, event: Event) -> Event:
        endpoint = self._endpoints.get(endpoint_id)
        workspace, name = (endpoint.workspace, endpoint.name) if endpoint else ("", "")
        return replace(event, workspace=workspace, name=name)

    def _new_id(self, name: str) -> str:
        self._ids[name] += 1
        return f"id-{name}" if self._ids[name] == 1 else f"id-{name}-{self._ids[name]}"

    def _named(self, workspace: str, name: str) -> Endpoint | None:
        models = (endpoint for endpoint in self._endpoints.values() if endpoint.spec is None)
        return next((found for found in models if (found.workspace, found.name) == (workspace, name)), None)

    def _use(self) -> threading.RLock:
        if self.broken is not None:
            raise self.broken
        return self._lock


def _by(user: str | None) -> str:
    return f" by {user}" if user else ""
