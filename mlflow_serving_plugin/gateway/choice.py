"""The choice of the entity that answers a request. Pure.

Fed with the routes snapshot; made once per request. ``holding`` makes a choice again only while the chosen entity
cannot score.
"""

from __future__ import annotations

from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, WorkerRoute
from mlflow_serving_plugin.domain.states import EntityState


class Choice(NamedTuple):
    """An endpoint and the entity of that endpoint which answers, as ``routes`` has them."""

    routes: Routes
    reference: Reference
    endpoint: EndpointRoute
    entity: EntityRoute

    @property
    def key(self) -> tuple[str, int]:
        """What requests for the entity are counted by: the endpoint's id and the entity's number."""
        return self.endpoint.id, self.entity.number

    @property
    def version(self) -> str:
        """The entity's name for people and headers."""
        return str(self.entity.number)

    @property
    def workers(self) -> tuple[WorkerRoute, ...]:
        """The workers that take requests now. A draining entity finishes its requests and takes no new ones."""
        return () if self.entity.state is EntityState.DRAINING else self.entity.ready_workers


def choose(routes: Routes, workspace: str, reference: Reference) -> Choice:
    """The choice for a request; NotFoundError when nothing is served under the reference."""
    endpoint = routes.endpoint(workspace, reference.name)
    return Choice(routes, reference, endpoint, endpoint.resolve(reference))


def renew(choice: Choice, routes: Routes) -> Choice:
    """The same entity in newer routes; another one only when that entity is gone or cannot score. NotFoundError."""
    if routes is choice.routes:
        return choice
    endpoint = routes.endpoint(choice.endpoint.workspace, choice.reference.name)
    entity = endpoint.versions.get(choice.entity.number) if endpoint.id == choice.endpoint.id else None
    if entity is not None:
        renewed = Choice(routes, choice.reference, endpoint, entity)
        if renewed.workers:
            return renewed
    return choose(routes, endpoint.workspace, choice.reference)
