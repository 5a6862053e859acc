"""Reads store and registry anew, and follows models that were renamed or deleted."""

from __future__ import annotations

from mlflow_serving_plugin.controller.desired import ModelKey, View, model_of
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.store.endpoints import Store

_LOOK, _LOOK_EVERY_S = "revision", 1.0


class Revision:
    """Notices within a second that somebody has changed an endpoint through another host."""

    def __init__(self, store: Store, tasks: Tasks) -> None:
        self._store = store
        self._tasks = tasks
        self._seen: int | None = None
        self._changed = False
        self._next = 0.0

    def changed(self, now: float) -> bool:
        """Whether there was a change since the last call. Starts the next look when it is due."""
        if now >= self._next and not self._tasks.running(_LOOK):
            self._next = now + _LOOK_EVERY_S
            self._tasks.start(_LOOK, self._store.revision, self._looked)
        changed, self._changed = self._changed, False
        return changed

    def _looked(self, outcome: Outcome, _: float) -> None:
        if outcome.error is None:
            self._changed |= self._seen not in {None, outcome.value}
            self._seen = outcome.value


def refresh(store: Store, registry: RegistryReader, before: View, names: frozenset[ModelKey] | None) -> View:
    """The view now. Only the models in ``names``, models not read before, and models for whose endpoints somebody
    asked for a change are read; ``names`` None: all of them.
    """
    endpoints: dict[str, Endpoint] = {}
    models: dict[ModelKey, RegisteredModel] = {}
    enabled = store.enabled()
    asked = asked_anew(before, View({endpoint.id: endpoint for endpoint in enabled}))
    for stored in enabled:
        model = before.models.get(model_of(stored))
        endpoint: Endpoint | None = stored
        named = names is None or model_of(stored) in names or stored.id in asked
        if named or not _is_of(model, stored):
            endpoint, model = _find(store, registry, stored)
        if endpoint is not None and model is not None:
            endpoints[endpoint.id], models[model_of(endpoint)] = endpoint, model
    return View(endpoints, models)


def asked_anew(before: View, after: View) -> set[str]:
    """The endpoints, by id, for which somebody asked for a change between the two views."""
    return {
        id_
        for id_, endpoint in after.endpoints.items()
        if id_ in before.endpoints and before.endpoints[id_].generation != endpoint.generation
    }


def _find(store: Store, registry: RegistryReader, endpoint: Endpoint) -> tuple[Endpoint | None, RegisteredModel | None]:
    """The endpoint with its model, followed to a new name; a deleted model's endpoint is removed."""
    model = _read(registry, endpoint)
    if model is not None:
        return endpoint, model
    name = registry.renamed_to(endpoint.workspace, endpoint.model_created_ms)
    if name is None:
        store.remove(endpoint)
        return None, None
    store.rename(endpoint, name)
    renamed = next((e for e in store.enabled() if e.id == endpoint.id), None)
    return renamed, None if renamed is None else _read(registry, renamed)


def _read(registry: RegistryReader, endpoint: Endpoint) -> RegisteredModel | None:
    try:
        model = registry.model(*model_of(endpoint))
    except NotFoundError:
        return None
    return model if _is_of(model, endpoint) else None


def _is_of(model: RegisteredModel | None, endpoint: Endpoint) -> bool:
    """Whether it is the endpoint's model, and no other model that was given the same name since."""
    return model is not None and model.created_ms == endpoint.model_created_ms
