"""Routes whose body, and not whose path, names the model, as OpenAI's do. Part of the core, no I/O of its own.

The caller is identified before the body is read, and let in to the model once the body has named it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from mlflow_serving_plugin.access.base import Access, Permission, User
from mlflow_serving_plugin.domain.reference import reference_in
from mlflow_serving_plugin.gateway.addresses import Action, Target
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openai import list_of_models, model_in
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import Lane, Reply, RunBlocking, Steps
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
        target = exchange.target = target._replace(reference=reference_in(model_in(body)))
        yield from self._admit(exchange, target)
        return (yield from self._scoring.score(exchange, target, body))

    def _identify(self, exchange: Exchange) -> Steps[User]:
        head = exchange.head
        identify = partial(self._access.identify, head.headers, head.client)
        if not self._access.blocking:
            return identify()
        lane = Lane.PASSWORD if self._access.checks_password(head.headers) else Lane.LOOKUP
        caller: User = yield RunBlocking(identify, lane)
        return caller

    def _models(self, exchange: Exchange, caller: User) -> Steps[Reply]:
        endpoints = self._snapshot.current().endpoints.values()
        names = sorted({one.name for one in endpoints if one.workspace == exchange.workspace})

        def readable() -> list[str]:
            look_up = partial(self._access.permission, caller, exchange.workspace)
            return [name for name in names if look_up(name) >= Permission.READ]

        found: list[str] = yield RunBlocking(readable, Lane.LOOKUP)
        return Reply(200, [("Content-Type", JSON)], list_of_models(found))
