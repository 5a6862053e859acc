"""What should run: the entities of all endpoints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.backends.base import fingerprint
from mlflow_serving_plugin.domain.config import (
    NO_RULES,
    EndpointConfig,
    ScalingConfig,
    ServerRules,
    WorkerSettings,
    part_of,
    resolve,
)
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.entity import Entity, EntityKey, ModelRef
from mlflow_serving_plugin.registry.models import RegisteredModel

ModelKey = tuple[str, str]
"""A registered model's workspace and name."""


@dataclass(frozen=True, slots=True)
class View:
    """What the store and the registry said when they were last read. ``endpoints`` by id."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    models: Mapping[ModelKey, RegisteredModel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DesiredEntity:
    """An entity that is to be served, and with which workers. ``fingerprint`` tells its workers from outdated ones."""

    entity: Entity
    settings: WorkerSettings
    fingerprint: str
    scaling: ScalingConfig

    @property
    def key(self) -> EntityKey:
        """The entity's key."""
        return self.entity.key


def model_of(endpoint: Endpoint) -> ModelKey:
    """The registered model that an endpoint serves."""
    return endpoint.workspace, endpoint.name


def entities_of(endpoint: Endpoint, models: Mapping[ModelKey, RegisteredModel]) -> list[Entity]:
    """An endpoint's entities, newest first: one for each active version of its model, named by the version's number.

    None while the model has not been read.
    """
    model = models.get(model_of(endpoint))
    if model is None:
        return []
    return [
        Entity(
            EntityKey(endpoint.id, str(version.number)),
            ModelRef(model.workspace, model.name, version.number),
            endpoint.config,
            version.source,
            version.stage,
        )
        for version in reversed(model.versions)
        if version.active
    ]


def desire(view: View, default_timeout_s: float, rules: ServerRules = NO_RULES) -> dict[EntityKey, DesiredEntity]:
    """All entities to be served, in a stable order: by endpoint, newest first."""
    desired = {}
    for endpoint in view.endpoints.values():
        for entity in entities_of(endpoint, view.models):
            resolved = resolve(entity.config, request_timeout_s=default_timeout_s, rules=rules)
            settings, scaling = part_of(resolved, WorkerSettings), part_of(resolved, ScalingConfig)
            desired[entity.key] = DesiredEntity(entity, settings, fingerprint(entity.source, settings), scaling)
    return desired


def worker_settings(config: EndpointConfig, default_timeout_s: float, rules: ServerRules = NO_RULES) -> WorkerSettings:
    """What an entity's workers are started with."""
    resolved = resolve(config, request_timeout_s=default_timeout_s, rules=rules)
    return part_of(resolved, WorkerSettings)
