"""The observer of exchanges that logs requests and answers, where an endpoint's configuration says so."""

from __future__ import annotations

import logging
import random
import time
from functools import lru_cache

from mlflow_serving_plugin.domain.request_log import LogRoots, read_log_config
from mlflow_serving_plugin.domain.routes import EndpointRoute
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import Pieces
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.request_log.record import REQUEST_TOO_LARGE, RESPONSE_TOO_LARGE, STREAMED, Record
from mlflow_serving_plugin.request_log.segments import Label
from mlflow_serving_plugin.request_log.spool import Spool

_logger = logging.getLogger(__name__)


class RequestLog:
    """Called on the event loop: copies no body, and only appends to the queue."""

    def __init__(self, roots: LogRoots, spool: Spool) -> None:
        self._spool = spool
        self._refused = Throttled(_logger, every_s=60.0)
        self._of = lru_cache(maxsize=1024)(lambda *key: _resolved(roots, *key))

    def __call__(self, exchange: Exchange) -> None:
        """An exchange has ended."""
        choice = exchange.choice
        if choice is None or not choice.endpoint.config.request_log or not exchange.is_scoring:
            return
        endpoint = choice.endpoint
        fraction, most_bytes, label = self._of(endpoint.id, _Settings(endpoint))
        # No number that protects anything.
        if not fraction or (fraction < 1.0 and random.random() >= fraction):  # noqa: S311
            return
        if label is None:
            self._refused.log(
                logging.WARNING, "Requests of '%s' are not logged: its location is not below the server's roots.",
                endpoint.name,
            )  # fmt: skip
            return
        self._spool.put(label, _record(exchange, choice.entity.name, fraction, most_bytes))


class _Settings:
    """An endpoint's settings as a key: two are the same when they are one object, which each snapshot has anew."""

    __slots__ = ("endpoint",)

    def __init__(self, endpoint: EndpointRoute) -> None:
        self.endpoint = endpoint

    def __hash__(self) -> int:
        return id(self.endpoint.config.request_log)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, _Settings)
            and self.endpoint.config.request_log is other.endpoint.config.request_log
            and self.endpoint.name == other.endpoint.name
        )


def _resolved(roots: LogRoots, endpoint_id: str, settings: _Settings) -> tuple[float, int, Label | None]:
    """The sampling fraction, 0 for no log; the longest body in bytes; where the log goes."""
    endpoint = settings.endpoint
    config = read_log_config(endpoint.config.request_log)
    serving = endpoint.models is not None
    place = roots.place_of(config.location, endpoint.workspace, endpoint.name, serving=serving)
    label = place and Label(endpoint_id, place, config.format, config.redact, config.retention_days, config.max_bytes)
    return config.sampling_fraction if config.enabled else 0.0, config.max_payload_bytes, label or None


def _record(exchange: Exchange, entity: str, fraction: float, most_bytes: int) -> Record:
    codes: list[str] = []
    request, response = exchange.body, None
    if request is not None and len(request) > most_bytes:
        request = None
        codes.append(REQUEST_TOO_LARGE)
    if exchange.reply is not None:
        body = exchange.reply.body
        if isinstance(body, Pieces):
            codes.append(STREAMED)
        elif len(body) > most_bytes:
            codes.append(RESPONSE_TOO_LARGE)
        else:
            response = body
    return Record(
        exchange.request_id,
        int((time.time() - exchange.took_s) * 1e6),
        round(exchange.took_s * 1000),
        exchange.status,
        fraction,
        entity,
        exchange.caller.name if exchange.caller is not None else None,
        request,
        response,
        tuple(codes),
        exchange.head.headers.get("x-client-request-id", ""),
    )
