"""The observer of exchanges that logs requests and answers, where an endpoint's configuration says so."""

from __future__ import annotations

import logging
import random
import time
from functools import partial
from typing import NamedTuple

from mlflow_serving_plugin.domain.request_log import LogRoots, read_log_config
from mlflow_serving_plugin.domain.routes import EndpointRoute
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import Pieces
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.request_log.record import REQUEST_TOO_LARGE, RESPONSE_TOO_LARGE, STREAMED, Record
from mlflow_serving_plugin.request_log.segments import Label
from mlflow_serving_plugin.request_log.spool import Spool

_logger = logging.getLogger(__name__)

_MOST_KNOWN = 1024
_TOO_LARGE = 413


class RequestLog:
    """Called on the event loop: copies no body, and only appends to the queue."""

    def __init__(self, roots: LogRoots, spool: Spool) -> None:
        self._spool = spool
        self._refused = Throttled(_logger, every_s=60.0)
        self._roots = roots
        self._resolved: dict[str, _Resolved] = {}

    def __call__(self, exchange: Exchange) -> None:
        """An exchange has ended."""
        choice = exchange.choice
        if choice is None or not choice.endpoint.config.request_log or not exchange.is_scoring:
            return
        endpoint = choice.endpoint
        _, _, fraction, most_bytes, label = self._of(endpoint)
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

    def begin_stream(self, exchange: Exchange, pieces: Pieces) -> None:
        """Have a streamed answer copied as it is sent, up to one byte more than is logged."""
        choice = exchange.choice
        if choice is None or not choice.endpoint.config.request_log:
            return
        found = self._of(choice.endpoint)
        if found.fraction and found.label is not None:
            exchange.streamed = bytearray()
            pieces.copy = partial(_copy, exchange.streamed, found.most_bytes + 1)

    def _of(self, endpoint: EndpointRoute) -> _Resolved:
        """Kept for as long as the endpoint has the same settings, which each snapshot has anew."""
        known = self._resolved.get(endpoint.id)
        if known is None or known.given is not endpoint.config.request_log or known.name != endpoint.name:
            if len(self._resolved) >= _MOST_KNOWN:
                self._resolved.clear()
            known = self._resolved[endpoint.id] = _resolve(self._roots, endpoint)
        return known


class _Resolved(NamedTuple):
    """How an endpoint's requests are logged."""

    given: object
    name: str
    fraction: float
    """0 for no log."""
    most_bytes: int
    """Of a body."""
    label: Label | None
    """Where the log goes; None for a place that the server does not permit."""


def _resolve(roots: LogRoots, endpoint: EndpointRoute) -> _Resolved:
    given = endpoint.config.request_log
    config = read_log_config(given)
    place = roots.place_of(config.location, endpoint.workspace, endpoint.name, serving=endpoint.models is not None)
    label = None
    if place is not None:
        label = Label(endpoint.id, place, config.format, config.redact, config.retention_days, config.max_bytes)
    fraction = config.sampling_fraction if config.enabled else 0.0
    return _Resolved(given, endpoint.name, fraction, config.max_payload_bytes, label)


def _record(exchange: Exchange, entity: str, fraction: float, most_bytes: int) -> Record:
    codes: list[str] = []
    request, response = exchange.body, None
    # A request that is refused for its size is not read.
    if exchange.status == _TOO_LARGE or (request is not None and len(request) > most_bytes):
        request = None
        codes.append(REQUEST_TOO_LARGE)
    body = exchange.reply.body if exchange.reply is not None else None
    if exchange.streamed is not None:
        # Also what a client got that left in the middle.
        body = bytes(exchange.streamed)
    if isinstance(body, Pieces):
        codes.append(STREAMED)
    elif body is not None and len(body) > most_bytes:
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


def _copy(streamed: bytearray, most_bytes: int, sent: bytes) -> None:
    streamed += sent[: most_bytes - len(streamed)]
