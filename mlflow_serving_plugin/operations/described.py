"""A serving endpoint as one caller and this host see the endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute
from mlflow_serving_plugin.domain.serving import ServedConfig, ServingSpec


@dataclass(frozen=True, slots=True)
class Described:
    """A serving endpoint for one caller. ``entities``: those that this host's controller knows, by key name."""

    endpoint: Endpoint
    spec: ServingSpec
    entities: Mapping[str, EntityRoute]
    route: EndpointRoute | None
    manages: bool
    sees_pending: bool = True
    """Whether the caller may read the models of the next configuration too."""
    written_ms: int = 0
    """When the routes were written that the entities are of, in milliseconds since 1970."""

    @property
    def pending(self) -> ServedConfig | None:
        """The next configuration, as far as the caller may know of it."""
        return self.spec.pending if self.sees_pending else None

    @property
    def configs(self) -> tuple[ServedConfig, ...]:
        """The configurations whose entities run, as far as the caller may know of them; the next one first."""
        return tuple(config for config in (self.pending, self.spec.active) if config is not None)

    @property
    def just_updated(self) -> bool:
        """Whether an update has ended after the routes were written: all entities were ready then."""
        return self.spec.active is not None and self.written_ms < self.spec.active.ready_ms

    def ready(self) -> bool:
        """Whether all entities of the present configuration serve on this host."""
        if self.spec.active is None or self.just_updated:
            return self.just_updated
        found = [self.entities.get(entity.key_name) for entity in self.spec.active.entities]
        return all(entity is not None and entity.state.facts.serves for entity in found)
