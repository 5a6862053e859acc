"""Reads store and registry anew, and follows models that were renamed or deleted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from mlflow_serving_plugin.controller.desired import ModelKey, View, model_of, models_of
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.store.endpoints import Store

_LOOK, _LOOK_EVERY_S = "revision", 1.0
_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
_MANY = 10
"""So many models of a workspace are read together."""


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
    due = [
        stored
        for stored in enabled
        if stored.spec is None
        and (
            names is None
            or model_of(stored) in names
            or stored.id in asked
            or not _is_of(before.models.get(model_of(stored)), stored)
        )
    ]
    read, ids = _read_together(registry, before, due), {stored.id for stored in due}
    for stored in enabled:
        if stored.spec is not None:
            anew = names is None or stored.id in asked
            endpoints[stored.id] = _with_models(store, registry, stored, before, None if anew else names, models)
            continue
        endpoint: Endpoint | None = stored
        model = read.get(model_of(stored)) if stored.id in ids else before.models.get(model_of(stored))
        if not _is_of(model, stored):
            endpoint, model = _find(store, registry, stored)
        if endpoint is not None and model is not None:
            endpoints[endpoint.id], models[model_of(endpoint)] = endpoint, model
    return View(_as_before(endpoints, before.endpoints), _as_before(models, before.models))


def _as_before(found: dict[_Key, _Value], before: Mapping[_Key, _Value]) -> dict[_Key, _Value]:
    """What was found, and what is equal to what was there before as the very same: who compares is soon done."""
    return {key: earlier if (earlier := before.get(key)) == value else value for key, value in found.items()}


def asked_anew(before: View, after: View) -> set[str]:
    """The endpoints, by id, for which somebody asked for a change between the two views."""
    return {
        id_
        for id_, endpoint in after.endpoints.items()
        if id_ in before.endpoints and before.endpoints[id_].generation != endpoint.generation
    }


def _read_together(
    registry: RegistryReader, before: View, endpoints: Sequence[Endpoint]
) -> dict[ModelKey, RegisteredModel]:
    """The models of many endpoints. Only those that have lost nothing since: a model that has is read by itself."""
    by_workspace: dict[str, set[str]] = {}
    for endpoint in endpoints:
        by_workspace.setdefault(endpoint.workspace, set()).add(endpoint.name)
    found = {}
    for workspace, names in by_workspace.items():
        for name, model in registry.many(workspace, names).items() if len(names) >= _MANY else ():
            known = before.models.get((workspace, name))
            if known is None or _numbers(known) <= _numbers(model):
                found[workspace, name] = model
    return found


def _numbers(model: RegisteredModel) -> set[int]:
    return {version.number for version in model.versions}


def _with_models(
    store: Store,
    registry: RegistryReader,
    endpoint: Endpoint,
    before: View,
    names: frozenset[ModelKey] | None,
    models: dict[ModelKey, RegisteredModel],
) -> Endpoint:
    """A serving endpoint, whose registered models are added to ``models`` and followed to new names.

    A model that was deleted is left out: the endpoint stays, without the entities of that model.
    """
    for key, created_ms in models_of(endpoint).items():
        model = models.get(key) or before.models.get(key)
        if model is None or model.created_ms != created_ms or names is None or key in names:
            model = _model(registry, key, created_ms)
        if model is None:
            name = registry.renamed_to(endpoint.workspace, created_ms)
            model = None if name is None else _model(registry, (endpoint.workspace, name), created_ms)
            if model is not None:
                endpoint = store.follow(endpoint, created_ms, model.name)
        if model is not None:
            models[model.workspace, model.name] = model
    return endpoint


def _model(registry: RegistryReader, key: ModelKey, created_ms: int) -> RegisteredModel | None:
    try:
        model = registry.model(*key)
    except NotFoundError:
        return None
    return model if model.created_ms == created_ms else None


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
    return _model(registry, model_of(endpoint), endpoint.model_created_ms)


def _is_of(model: RegisteredModel | None, endpoint: Endpoint) -> bool:
    """Whether it is the endpoint's model, and no other model that was given the same name since."""
    return model is not None and model.created_ms == endpoint.model_created_ms
