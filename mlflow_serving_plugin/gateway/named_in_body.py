"""Routes whose body, and not whose path, names the model, as OpenAI's do. Part of the core, no I/O of its own.

The caller is identified before the body is read, and let in to the model once the body has named it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlflow_serving_plugin.access.base import Access, Permission, User
from mlflow_serving_plugin.domain.reference import TRAFFIC, Reference, reference_in
from mlflow_serving_plugin.domain.routes import not_enabled, serving_key
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.gateway.addresses import Action, Target
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openai import list_of_models, model_in
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import LANE_OF, Lane, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.scoring import Scoring
from mlflow_serving_plugin.host.snapshot import SnapshotReader


class NamedInBody:
    """Answers such requests. ``admit`` lets the exchange's caller in to the model of a name, or raises."""

    def __init__(
        self,
        access: Access,
        snapshot: SnapshotReader,
        scoring: Scoring,
        admit: Callable[[Exchange, Target], Steps[None]],
    ) -> None:
        self._access = access
        self._snapshot = snapshot
        self._scoring = scoring
        self._admit = admit

    def answer(self, exchange: Exchange, target: Target) -> Steps[Reply]:
        """The reply to one request. Raises ServingError for every error of ours."""
        exchange.caller = yield from self._identify(exchange)
        if target.action is Action.MODELS:
            return (yield from self._models(exchange, exchange.caller))
        body = yield from self._scoring.read_body(exchange)
        name = model_in(body)
        serving = serving_key(exchange.workspace, name) in self._snapshot.current().endpoints
        reference = Reference(name, TRAFFIC, "") if serving else reference_in(name)
        target = exchange.target = target._replace(reference=reference)
        try:
            yield from self._admit(exchange, target)
        except NotFoundError:
            # In the words for a model: nobody is told which serving endpoints there are.
            raise NotFoundError(not_enabled(reference.name)) from None
        return (yield from self._scoring.score(exchange, target, body))

    def _identify(self, exchange: Exchange) -> Steps[User]:
        head = exchange.head
        identify = partial(self._access.identify, head.headers, head.client)
        if not self._access.blocking:
            return identify()
        lane = LANE_OF[self._access.check(head.headers)]
        caller: User = yield RunBlocking(identify, lane)
        return caller

    def _models(self, exchange: Exchange, caller: User) -> Steps[Reply]:
        endpoints = self._snapshot.current().endpoints.values()
        served = [(one.name, one.models or (one.name,)) for one in endpoints if one.workspace == exchange.workspace]

        def readable() -> list[str]:
            look_up = partial(self._access.permission, caller, exchange.workspace)
            return sorted({name for name, models in served if min(map(look_up, models)) >= Permission.READ})

        found: list[str] = yield RunBlocking(readable, Lane.LOOKUP)
        return Reply(200, [("Content-Type", JSON)], list_of_models(found))
