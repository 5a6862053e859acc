"""A serving endpoint: named entities, each a version of some registered model, and how traffic is split among them.

A change of the configuration is an update: the new configuration is *pending* until its entities are ready, and the
present configuration serves until then. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter

from mlflow_serving_plugin.domain.config import EndpointConfig, WorkerSettings, part_of
from mlflow_serving_plugin.domain.tracking import without_owner
from mlflow_serving_plugin.domain.traffic import Shadow

LONGEST_NAME = 63
"""Characters of the name of an endpoint or of an entity."""


def default_name(model: str, version: str) -> str:
    """The name of an entity that was given none."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", f"{model}-{version.removeprefix('@')}")[:LONGEST_NAME]


@dataclass(frozen=True, slots=True)
class ServedEntity:
    """A version of a registered model under a name of the endpoint's own."""

    name: str
    model: str
    version: str
    """As somebody wrote it: a number, ``@alias`` or a stage. Alias and stage are followed."""
    model_created_ms: int
    """The registered model's creation time: how a renamed model is recognised."""
    config: EndpointConfig
    sizing: Mapping[str, Any] = field(default_factory=dict)
    """The fields from which the number of workers followed, as somebody wrote them."""
    revision: int = 1
    """The version of the configuration in which the entity came to be what it is."""
    creator: str = ""
    created_ms: int = 0

    @property
    def key_name(self) -> str:
        """The name in the entity's key: an entity of the same name in the next configuration may be another one."""
        return f"{self.name}.{self.revision}"

    def is_same(self, other: ServedEntity) -> bool:
        """Whether workers of the one can serve as workers of the other."""
        return (
            (self.name, self.model, self.version, self.model_created_ms)
            == (other.name, other.model, other.version, other.model_created_ms)
        ) and part_of(self.config, WorkerSettings) == part_of(other.config, WorkerSettings)

    def as_lent(self, before: ServedConfig | None) -> ServedEntity | None:
        """The entity with the user who lends it rights; None unless it is what it was in the configuration before.

        So a change of the traffic alone leaves rights with whoever lent them.
        """
        known = before.entity(self.name) if before else None
        if known is None or not known.config.tracking_owner:
            return None
        lent = replace(self, config=replace(self.config, tracking_owner=known.config.tracking_owner))
        return lent if lent.is_same(known) else None


@dataclass(frozen=True, slots=True)
class ServedConfig:
    """One version of an endpoint's configuration. ``traffic``: percentages by entity, 100 in all."""

    version: int
    entities: tuple[ServedEntity, ...]
    traffic: tuple[tuple[str, int], ...]
    started_ms: int = 0
    """When the update to this configuration began, in milliseconds since 1970."""
    ready_ms: int = 0
    """When all entities were ready; 0 until then."""
    shadow: Shadow | None = None
    ready_on: tuple[str, ...] = ()
    """While the configuration is pending: the hosts on which all entities are ready."""
    request_log: Mapping[str, Any] = field(default_factory=dict)
    """What is logged of requests, by the keys of ``domain.request_log``."""

    @property
    def models(self) -> tuple[str, ...]:
        """The registered models that answer, by name."""
        return tuple(sorted({entity.model for entity in self.entities}))

    def entity(self, name: str) -> ServedEntity | None:
        """The entity of that name."""
        return next((entity for entity in self.entities if entity.name == name), None)

    def only_shadows(self, name: str) -> bool:
        """Whether an entity is the shadow, and has no traffic beside that."""
        return self.shadow is not None and self.shadow.entity == name and not dict(self.traffic).get(name)


@dataclass(frozen=True, slots=True)
class ServingSpec:
    """What a serving endpoint is, beside its name. Times in milliseconds since 1970."""

    creator: str
    created_ms: int
    updated_ms: int
    versions: int = 0
    """The number of configurations so far."""
    active: ServedConfig | None = None
    """The configuration that answers requests; None until the first one is ready."""
    pending: ServedConfig | None = None
    failure: str = ""
    """Why the last update failed; empty when it succeeded."""
    canceled: bool = False
    """Whether the last update failed because somebody canceled the update."""
    description: str = ""
    tags: Mapping[str, str | None] = field(default_factory=dict)
    calls_per_minute: int | None = None
    """The most calls of all callers together; None: no limit. As of ``EndpointConfig``."""
    calls_per_minute_per_user: int | None = None
    inference_table: Mapping[str, Any] = field(default_factory=dict)
    """As Databricks' AI gateway has it; ``enabled``: requests are logged, whatever the configuration says."""

    @property
    def config(self) -> EndpointConfig:
        """The endpoint's own keys of a configuration: its entities have theirs."""
        limits = self.calls_per_minute, self.calls_per_minute_per_user
        return EndpointConfig(
            calls_per_minute=limits[0],
            calls_per_minute_per_user=limits[1],
            request_log=self.request_log,
        )

    @property
    def request_log(self) -> Mapping[str, Any]:
        """What is logged of requests, by the keys of ``domain.request_log``."""
        log = self.present.request_log if self.present else {}
        return {**log, "enabled": True} if self.inference_table.get("enabled") else log

    @property
    def present(self) -> ServedConfig | None:
        """The configuration that requests go by: before the first one is ready they wait for it."""
        return self.active or self.pending

    @property
    def configs(self) -> tuple[ServedConfig, ...]:
        """The configurations whose entities run: the pending one first, whose numbers of workers count."""
        return tuple(config for config in (self.pending, self.active) if config is not None)

    @property
    def entities(self) -> dict[str, ServedEntity]:
        """All entities that run, by the names in their keys."""
        return {entity.key_name: entity for config in reversed(self.configs) for entity in config.entities}

    @property
    def entity_configs(self) -> list[EndpointConfig]:
        """The configurations of all entities that run."""
        return [entity.config for entity in self.entities.values()]

    @property
    def only_shadows(self) -> set[str]:
        """The entities, by the names in their keys, that are shadows without traffic, now and after the update."""
        found = [
            (entity.key_name, config.only_shadows(entity.name)) for config in self.configs for entity in config.entities
        ]
        return {name for name, _ in found} - {name for name, only in found if not only}

    @property
    def models(self) -> tuple[str, ...]:
        """The registered models that may answer, now or after the update, by name."""
        return tuple(sorted({model for config in self.configs for model in config.models}))

    def begin(self, config: ServedConfig, now_ms: int) -> ServingSpec:
        """Begin the update to a configuration. Entities that are what they were stay themselves."""
        number = self.versions + 1
        entities = tuple(self._revised(entity, number) for entity in config.entities)
        pending = replace(config, version=number, entities=entities, started_ms=now_ms)
        return replace(self, versions=number, pending=pending, failure="", canceled=False, updated_ms=now_ms)

    def succeed(self, now_ms: int) -> ServingSpec:
        """All entities of the pending configuration are ready."""
        active = replace(self.pending, ready_ms=now_ms, ready_on=()) if self.pending else self.active
        return replace(self, active=active, pending=None, failure="", canceled=False, updated_ms=now_ms)

    def fail(self, reason: str, now_ms: int) -> ServingSpec:
        """The update has failed: the configuration before serves on. A first configuration is tried further."""
        return replace(self, active=self.present, pending=None, failure=reason, canceled=False, updated_ms=now_ms)

    def cancel(self, reason: str, now_ms: int) -> ServingSpec:
        """Somebody ends the update, which fails by that."""
        return replace(self.fail(reason, now_ms), canceled=True)

    def renamed(self, model_created_ms: int, name: str) -> ServingSpec:
        """The endpoint after a registered model was renamed."""

        def follow(config: ServedConfig | None) -> ServedConfig | None:
            if config is None:
                return None
            entities = (
                replace(entity, model=name) if entity.model_created_ms == model_created_ms else entity
                for entity in config.entities
            )
            return replace(config, entities=tuple(entities))

        return replace(self, active=follow(self.active), pending=follow(self.pending))

    def without_owner(self, name: str) -> ServingSpec:
        """The endpoint with tracking off where a user's rights were lent."""

        def end(config: ServedConfig | None) -> ServedConfig | None:
            if config is None:
                return None
            entities = (
                replace(entity, config=without_owner(entity.config))
                if entity.config.tracking_owner.get("name") == name
                else entity
                for entity in config.entities
            )
            return replace(config, entities=tuple(entities))

        return replace(self, active=end(self.active), pending=end(self.pending))

    def _revised(self, entity: ServedEntity, number: int) -> ServedEntity:
        before = self.active.entity(entity.name) if self.active else None
        if before is None or not before.is_same(entity):
            return replace(entity, revision=number)
        return replace(entity, revision=before.revision, creator=before.creator, created_ms=before.created_ms)


_spec = TypeAdapter(ServingSpec)


def dump_spec(spec: ServingSpec) -> str:
    """The specification as JSON."""
    return _spec.dump_json(spec).decode()


def load_spec(text: str) -> ServingSpec:
    """The specification from JSON."""
    return _spec.validate_json(text)
