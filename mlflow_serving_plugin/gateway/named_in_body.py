"""OpenAI's routes, which name a model as their callers please, mostly in the body. Part of the core, no I/O of its own.

The caller is identified before the body is read, and let in to the model once the body has named it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial

from mlflow_serving_plugin.access.base import Access, Permission, User
from mlflow_serving_plugin.domain.reference import TRAFFIC, Reference, reference_in
from mlflow_serving_plugin.domain.routes import not_enabled, serving_key
from mlflow_serving_plugin.errors import NotFoundError, UnavailableError
from mlflow_serving_plugin.gateway.addresses import Action, Target
from mlflow_serving_plugin.gateway.choice import choose
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openai import list_of_models, model_in, one_model
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
        if target.action is Action.MODEL:
            return (yield from self._model(exchange, target))
        body = yield from self._scoring.read_body(exchange)
        target = yield from self._let_in(exchange, target, model_in(body))
        return (yield from self._scoring.score(exchange, target, body))

    def _let_in(self, exchange: Exchange, target: Target, name: str) -> Steps[Target]:
        """The target with the model or serving endpoint of that name; NotFoundError."""
        serving = serving_key(exchange.workspace, name) in self._snapshot.current().endpoints
        reference = Reference(name, TRAFFIC, "") if serving else reference_in(name)
        target = exchange.target = target._replace(reference=reference)
        try:
            yield from self._admit(exchange, target)
        except NotFoundError:
            # In the words for a model: nobody is told which serving endpoints there are.
            raise NotFoundError(not_enabled(reference.name)) from None
        return target

    def _identify(self, exchange: Exchange) -> Steps[User]:
        head = exchange.head
        identify = partial(self._access.identify, head.headers, head.client)
        if not self._access.blocking:
            return identify()
        lane = LANE_OF[self._access.check(head.headers)]
        caller: User = yield RunBlocking(identify, lane)
        return caller

    def _model(self, exchange: Exchange, target: Target) -> Steps[Reply]:
        name = target.reference.name
        target = yield from self._let_in(exchange, target, name)
        with contextlib.suppress(UnavailableError):  # A model that does not answer now is a model all the same.
            choose(self._snapshot.current(), exchange.workspace, target.reference)
        return Reply(200, [("Content-Type", JSON)], one_model(name))

    def _models(self, exchange: Exchange, caller: User) -> Steps[Reply]:
        endpoints = self._snapshot.current().endpoints.values()
        served = [(one.name, one.models or (one.name,)) for one in endpoints if one.workspace == exchange.workspace]

        def readable() -> list[str]:
            look_up = partial(self._access.permission, caller, exchange.workspace)
            return sorted({name for name, models in served if min(map(look_up, models)) >= Permission.READ})

        found: list[str] = yield RunBlocking(readable, Lane.LOOKUP)
        return Reply(200, [("Content-Type", JSON)], list_of_models(found))
