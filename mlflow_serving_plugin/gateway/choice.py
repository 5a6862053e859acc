"""The choice of the entity that answers a request. Pure.

Fed with the routes snapshot; made once per request. ``holding`` makes a choice again only while the chosen entity
cannot score.
"""

from __future__ import annotations

from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, WorkerRoute


class Choice(NamedTuple):
    """An endpoint and the entity of that endpoint which answers, as ``routes`` has them."""

    routes: Routes
    reference: Reference
    endpoint: EndpointRoute
    entity: EntityRoute

    @property
    def key(self) -> tuple[str, str]:
        """What requests for the entity are counted by: the endpoint's id and the entity's name."""
        return self.endpoint.id, self.entity.name

    @property
    def version(self) -> str:
        """The entity's name for people and headers."""
        return self.entity.name

    @property
    def workers(self) -> tuple[WorkerRoute, ...]:
        """The workers that take requests now. A draining entity finishes its requests and takes no new ones."""
        return self.entity.ready_workers if self.entity.state.facts.scores else ()


def choose(routes: Routes, workspace: str, reference: Reference) -> Choice:
    """The choice for a request; NotFoundError when nothing is served under the reference."""
    endpoint, entity = routes.resolve(workspace, reference)
    return Choice(routes, reference, endpoint, entity)


def renew(choice: Choice, routes: Routes) -> Choice:
    """The same entity in newer routes; another one only when that entity is gone or cannot score. NotFoundError."""
    if routes is choice.routes:
        return choice
    endpoint = routes.endpoint(choice.endpoint.workspace, choice.reference.name)
    entity = routes.entities.get(str(choice.entity.key)) if endpoint.id == choice.endpoint.id else None
    if entity is not None:
        renewed = Choice(routes, choice.reference, endpoint, entity)
        if renewed.workers:
            return renewed
    return choose(routes, endpoint.workspace, choice.reference)
