"""Who may score: READ on the registered model, for a serving endpoint on each model that the endpoint serves."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from mlflow_serving_plugin.access.base import Access, Grant, Permission, look_up_grant
from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.routes import Routes, no_such_endpoint, not_enabled, serving_key
from mlflow_serving_plugin.errors import NotFoundError, TemporarilyUnavailableError
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import LANE_OF, Head, RunBlocking, Steps


class Door:
    """Lets callers in. Thread-safe."""

    def __init__(self, access: Access) -> None:
        self._access = access

    def admit(self, exchange: Exchange, reference: Reference, routes: Routes) -> Steps[None]:
        """Find out the exchange's caller; NotFoundError, in the words for what is not served, without READ.

        Nobody is told which models and endpoints there are.
        """
        if reference.of_serving_endpoint:
            yield from self._admit_to_endpoint(exchange, reference, routes)
            return
        grant = self._access.recall(exchange.head.headers, exchange.workspace, reference.name)
        if grant is None:
            grant = yield from self._look_up(exchange.head, exchange.workspace, (reference.name,))
        if grant.permission < Permission.READ:
            raise NotFoundError(not_enabled(reference.name))
        exchange.caller = grant.caller

    def _admit_to_endpoint(self, exchange: Exchange, reference: Reference, routes: Routes) -> Steps[None]:
        head, workspace = exchange.head, exchange.workspace
        route = routes.endpoints.get(serving_key(workspace, reference.name))
        exchange.models = (route.models or ()) if route else ()
        recalled = [self._access.recall(head.headers, workspace, name) for name in exchange.models]
        known = [grant for grant in recalled if grant is not None]
        if not known or len(known) < len(recalled):
            grant: Grant = yield from self._look_up(head, workspace, exchange.models)
        else:
            grant = min(known, key=lambda found: found.permission)
        if route is None and not (routes.written_ms or routes.endpoints):
            raise TemporarilyUnavailableError("Serving is starting on this server.", retry_after_s=2)
        if route is None or grant.permission < Permission.READ:
            raise NotFoundError(no_such_endpoint(reference.name))
        exchange.caller = grant.caller

    def _look_up(self, head: Head, workspace: str, names: Sequence[str]) -> Steps[Grant]:
        look_up = partial(look_up_grant, self._access, head.headers, head.client, workspace, names)
        if not self._access.blocking:
            return look_up()
        lane = LANE_OF[self._access.check(head.headers)]
        grant: Grant = yield RunBlocking(look_up, lane)
        return grant
