"""The choice of the entity that answers a request. Pure.

Fed with the routes snapshot; made once per request. ``holding`` makes a choice again only while the chosen entity
cannot score.
"""

from __future__ import annotations

from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import TRAFFIC, Reference
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, WorkerRoute
from mlflow_serving_plugin.domain.traffic import at_point, pick
from mlflow_serving_plugin.errors import NotFoundError


class Choice(NamedTuple):
    """An endpoint and the entity of that endpoint which answers, as ``routes`` has them."""

    routes: Routes
    reference: Reference
    endpoint: EndpointRoute
    entity: EntityRoute
    point: float = 0.0
    """Where the split of a serving endpoint's traffic decides."""

    @property
    def key(self) -> tuple[str, str]:
        """What requests for the entity are counted by: the endpoint's id and the entity's name."""
        return self.endpoint.id, self.entity.name

    @property
    def version(self) -> str:
        """The version for people and headers."""
        return str(self.entity.model.version) if self.entity.served_name else self.entity.name

    def __str__(self) -> str:
        """The entity in a sentence."""
        if self.entity.served_name:
            return f"Entity '{self.entity.served_name}' of serving endpoint '{self.endpoint.name}'"
        return f"Version {self.version} of model '{self.endpoint.name}'"

    @property
    def workers(self) -> tuple[WorkerRoute, ...]:
        """The workers that take requests now. A draining entity finishes its requests and takes no new ones."""
        return self.entity.ready_workers if self.entity.state.facts.scores else ()


def choose(routes: Routes, workspace: str, reference: Reference, point: float = 0.0) -> Choice:
    """The choice for a request; NotFoundError when nothing is served under the reference."""
    if reference.kind == TRAFFIC:
        endpoint = routes.endpoint(workspace, reference.name, serving=True)
        return Choice(routes, reference, endpoint, _split(routes, endpoint, point), point)
    endpoint, entity = routes.resolve(workspace, reference)
    return Choice(routes, reference, endpoint, entity)


def _split(routes: Routes, endpoint: EndpointRoute, point: float) -> EntityRoute:
    """The entity that the split gives; the share of an entity that fails goes to the others."""
    first = routes.entities.get(f"{endpoint.id}/{at_point(endpoint.traffic, point)}")
    if first is not None and first.state.facts.serves:
        return first  # as ``pick`` would find, without a look at all others
    entities = {name: routes.entities.get(f"{endpoint.id}/{name}") for name, _ in endpoint.traffic}
    usable = {name for name, entity in entities.items() if entity is not None and entity.state.facts.serves}
    found = entities.get(pick(endpoint.traffic, usable, point) or "")
    if found is None:
        raise NotFoundError(f"The registry has no model for the entities of serving endpoint '{endpoint.name}'.")
    return found


def renew(choice: Choice, routes: Routes) -> Choice:
    """The same entity in newer routes; another one only when that entity is gone or cannot score. NotFoundError."""
    if routes is choice.routes:
        return choice
    of_serving = choice.reference.of_serving_endpoint
    endpoint = routes.endpoint(choice.endpoint.workspace, choice.reference.name, serving=of_serving)
    entity = routes.entities.get(str(choice.entity.key)) if endpoint.id == choice.endpoint.id else None
    if entity is not None:
        renewed = Choice(routes, choice.reference, endpoint, entity, choice.point)
        if renewed.workers:
            return renewed
    return choose(routes, endpoint.workspace, choice.reference, choice.point)
