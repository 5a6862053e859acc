"""What should run: the entities of all endpoints. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from mlflow_serving_plugin.backends.base import fingerprint
from mlflow_serving_plugin.domain.config import EndpointConfig, ScalingConfig, WorkerSettings, part_of
from mlflow_serving_plugin.domain.config_rules import NO_RULES, ServerRules, resolve
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.entity import Entity, EntityKey, ModelRef
from mlflow_serving_plugin.domain.serving import ServingSpec
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
    """The registered model whose versions an endpoint of the kind ``model`` serves."""
    return endpoint.workspace, endpoint.name


def models_of(endpoint: Endpoint) -> dict[ModelKey, int]:
    """The registered models that an endpoint serves, and when each was created, in milliseconds since 1970."""
    if endpoint.spec is None:
        return {model_of(endpoint): endpoint.model_created_ms}
    entities = endpoint.spec.entities.values()
    return {(endpoint.workspace, entity.model): entity.model_created_ms for entity in entities}


def _served(endpoint: Endpoint, spec: ServingSpec, models: Mapping[ModelKey, RegisteredModel]) -> list[Entity]:
    """The entities of a serving endpoint, but those whose version the registry does not have."""
    found, in_background = [], spec.only_shadows
    for name, served in spec.entities.items():
        model = models.get((endpoint.workspace, served.model))
        version = None if model is None or model.created_ms != served.model_created_ms else model.find(served.version)
        if model is not None and version is not None:
            key, ref = EntityKey(endpoint.id, name), ModelRef(model.workspace, model.name, version.number)
            config = served.config
            if name in in_background and config.priority == "auto":
                config = replace(config, priority="background")
            found.append(Entity(key, ref, config, version.source, version.stage, served.name))
    return found


def entities_of(endpoint: Endpoint, models: Mapping[ModelKey, RegisteredModel]) -> list[Entity]:
    """An endpoint's entities, newest first: one for each active version of its model, named by the version's number;
    of a serving endpoint those of its configurations.

    None while the model has not been read.
    """
    if endpoint.spec is not None:
        return _served(endpoint, endpoint.spec, models)
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


def desire(
    view: View,
    default_timeout_s: float,
    rules: ServerRules = NO_RULES,
    known: tuple[View, Mapping[EntityKey, DesiredEntity]] = (View(), MappingProxyType({})),
) -> dict[EntityKey, DesiredEntity]:
    """All entities to be served, in a stable order: by endpoint, newest first.

    ``known``: an earlier view and what followed from that view, by the same timeout and rules: what is the same in both
    views is taken over.
    """
    desired: dict[EntityKey, DesiredEntity] = {}
    before, of_endpoint = known[0], _by_endpoint(known[1])
    resolved: dict[int, tuple[WorkerSettings, ScalingConfig]] = {}
    """By the identity of a configuration: most of a thousand endpoints share one."""
    for endpoint in view.endpoints.values():
        if _is_as_before(endpoint, view, before):
            desired |= of_endpoint.get(endpoint.id, {})
            continue
        for entity in entities_of(endpoint, view.models):
            if id(entity.config) not in resolved:
                whole = resolve(entity.config, request_timeout_s=default_timeout_s, rules=rules)
                resolved[id(entity.config)] = part_of(whole, WorkerSettings), part_of(whole, ScalingConfig)
            settings, scaling = resolved[id(entity.config)]
            desired[entity.key] = DesiredEntity(entity, settings, fingerprint(entity.source, settings), scaling)
    return desired


def _by_endpoint(desired: Mapping[EntityKey, DesiredEntity]) -> dict[str, dict[EntityKey, DesiredEntity]]:
    found: dict[str, dict[EntityKey, DesiredEntity]] = {}
    for key, wanted in desired.items():
        found.setdefault(key.endpoint_id, {})[key] = wanted
    return found


def _is_as_before(endpoint: Endpoint, view: View, before: View) -> bool:
    return before.endpoints.get(endpoint.id) == endpoint and all(
        before.models.get(key) == view.models.get(key) for key in models_of(endpoint)
    )


def worker_settings(config: EndpointConfig, default_timeout_s: float, rules: ServerRules = NO_RULES) -> WorkerSettings:
    """What an entity's workers are started with."""
    resolved = resolve(config, request_timeout_s=default_timeout_s, rules=rules)
    return part_of(resolved, WorkerSettings)
