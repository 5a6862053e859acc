"""Reads store and registry anew, and follows models that were renamed or deleted."""

from __future__ import annotations

from typing import Protocol

from mlflow_serving_plugin.controller.desired import View
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import RegisteredModel


class EndpointSource(Protocol):
    """What the controller needs of the store."""

    def enabled(self) -> list[Endpoint]:
        """All endpoints."""

    def rename(self, endpoint: Endpoint, name: str) -> None:
        """Follow a model to its new name."""

    def remove(self, endpoint: Endpoint) -> None:
        """Forget an endpoint."""


class ModelSource(Protocol):
    """What the controller needs of the registry."""

    def model(self, workspace: str, name: str) -> RegisteredModel:
        """A model with its versions; NotFoundError if there is none."""

    def renamed_to(self, workspace: str, created_ms: int) -> str | None:
        """What a vanished model is called now."""


def refresh(
    store: EndpointSource, registry: ModelSource, before: View, names: frozenset[tuple[str, str]] | None
) -> View:
    """The view now. Only the models in ``names`` (workspace, name), and new ones, are read; None: all of them."""
    endpoints: dict[str, Endpoint] = {}
    models: dict[str, RegisteredModel] = {}
    for stored in store.enabled():
        known = before.models.get(stored.id)
        if known is not None and names is not None and (stored.workspace, stored.name) not in names:
            endpoints[stored.id], models[stored.id] = stored, known
        elif (found := _find(store, registry, stored)) is not None:
            endpoints[stored.id], models[stored.id] = found
    return View(endpoints, models)


def _find(store: EndpointSource, registry: ModelSource, endpoint: Endpoint) -> tuple[Endpoint, RegisteredModel] | None:
    model = _model(registry, endpoint)
    if model is not None:
        return endpoint, model
    name = registry.renamed_to(endpoint.workspace, endpoint.model_created_ms)
    if name is None:
        store.remove(endpoint)
        return None
    store.rename(endpoint, name)
    renamed = next((e for e in store.enabled() if e.id == endpoint.id), None)
    if renamed is None or (model := _model(registry, renamed)) is None:
        return None
    return renamed, model


def _model(registry: ModelSource, endpoint: Endpoint) -> RegisteredModel | None:
    try:
        model = registry.model(endpoint.workspace, endpoint.name)
    except NotFoundError:
        return None
    # Another model may have got the name since.
    return model if model.created_ms == endpoint.model_created_ms else None
