"""From a request body to its predictions: limits, dialect, worker, reply. Part of the core, no I/O of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from mlflow_serving_plugin.domain.reference import TRAFFIC
from mlflow_serving_plugin.errors import ServingError, WorkerCrashedError
from mlflow_serving_plugin.gateway.addresses import Target
from mlflow_serving_plugin.gateway.asking import introduce, last_events, read_asking, wants_traces, with_traces
from mlflow_serving_plugin.gateway.cells import SMALL_BYTES, refuse_too_many_cells
from mlflow_serving_plugin.gateway.choice import Choice
from mlflow_serving_plugin.gateway.dialects.base import Reader, ScoringRequest, failure_of
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.events import HEADERS
from mlflow_serving_plugin.gateway.dialects.failures import explain
from mlflow_serving_plugin.gateway.dialects.v2 import V2Model
from mlflow_serving_plugin.gateway.encoding import decompress, request_encoding
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.holding import Holding
from mlflow_serving_plugin.gateway.limits import BodyBuffer, BodyMemory, InFlight, declared_length, refuse_lost_body
from mlflow_serving_plugin.gateway.messages import Pieces, ReadBody, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.quotas import Quotas
from mlflow_serving_plugin.gateway.shadow import Shadows
from mlflow_serving_plugin.gateway.spread import Spread, point_in_body
from mlflow_serving_plugin.links.base import LostError, StreamFailedError, WorkerReply
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import EVENTS, FIRST_EVENT_SECONDS, IN_FLIGHT, STREAMS, WAITING
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)

_LARGE_BYTES = 256 * 1024


def _reader(target: Target, choice: Choice, headers: Mapping[str, str]) -> Reader:
    read = target.dialect.reader(headers, choice.endpoint.config.default_dialect)
    return partial(read_asking, read, headers) if choice.entity.asks else read


class Scoring:
    """Answers ``invocations``. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        holding: Holding,
        metrics: Metrics,
        clock: Callable[[], float],
        quotas: Quotas,
        differences: Path | None,
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._clock = clock
        self._quotas = quotas
        self._in_flight = InFlight(settings.max_in_flight)
        self._streams = InFlight()
        self.memory = BodyMemory(max(settings.max_waiting_bytes, settings.max_body_bytes))
        """The memory for request bodies, and for whatever asides keep."""
        self._holding = holding
        self._shadows = Shadows(holding, self._in_flight, self.memory, metrics, differences, clock)
        self._spread = Spread()
        metrics.gauge(IN_FLIGHT, self._in_flight.counts)
        metrics.gauge(WAITING, holding.waiting.counts)
        metrics.gauge(STREAMS, self._streams.counts)

    @property
    def busy(self) -> bool:
        """Whether there are requests that have no answer yet."""
        return any(self._in_flight.counts().values())

    def read_body(self, exchange: Exchange) -> Steps[bytes]:
        """The request's body, decompressed; a ServingError for a body that is too large or not whole."""
        headers, max_bytes = exchange.head.headers, self._settings.max_body_bytes
        encoding = request_encoding(headers.get("content-encoding"))
        length = declared_length(headers, max_bytes)
        exchange.memory = self.memory.reserve()
        body: bytes = yield ReadBody(length, max_bytes, exchange.memory)
        refuse_lost_body(headers, body)
        if encoding is not None:
            # A few kilobytes may hold megabytes.
            started_s, plain = self._clock(), BodyBuffer(max_bytes, exchange.memory)
            body = yield RunBlocking(partial(decompress, body, encoding, plain))
            exchange.decode_s += self._clock() - started_s
        return body

    def score(self, exchange: Exchange, target: Target, body: bytes | None = None) -> Steps[Reply]:
        """The reply to one scoring request. Raises ServingError for every error of ours.

        ``body``: where the body had to be read to learn the target.
        """
        budget, reference = self._holding.budget(exchange.head.hold_cap_s), target.reference
        if reference.kind == TRAFFIC:
            exchange.point = self._spread.point(exchange.head.headers, reference.name)
        choice = yield from self._holding.choose(exchange, reference, budget)
        config = choice.endpoint.config
        if config.calls_per_minute is not None or config.calls_per_minute_per_user is not None:
            yield from self._quotas.count(choice.endpoint, exchange.caller)
        headers = exchange.head.headers
        read = _reader(target, choice, headers)
        exchange.place = self._in_flight.slot(choice.key)
        self._metrics.touch()
        if body is None:
            body = yield from self.read_body(exchange)
        exchange.body = body
        started_s = self._clock()
        judge = partial(refuse_too_many_cells, headers.get("content-type", ""), body, config.max_cells)
        # V2 tells the number of values by shapes, and a body with tensors as bytes is no JSON.
        judged = len(body) > SMALL_BYTES and not isinstance(target.dialect, V2Model)
        if len(body) > _LARGE_BYTES:
            # Counting and parsing here would keep every other request waiting.
            if judged:
                yield RunBlocking(judge)
            request: ScoringRequest = yield RunBlocking(partial(read, body))
        else:
            if judged:
                judge()
            request = read(body)
        exchange.request, exchange.reply_format = request, request.reply_format
        if reference.kind == TRAFFIC:
            choice = yield from self._by_key(exchange, choice, body)
        if choice.entity.asks:
            exchange.stores_traces, exchange.context = introduce(exchange, choice, request)
        exchange.decode_s += self._clock() - started_s
        answer, answer_body = yield from self._holding.ask(exchange, choice, request, budget)
        if isinstance(answer_body, Pieces):
            return self._stream(exchange, answer_body)
        if choice.endpoint.shadow is not None:
            self._shadows.follow(exchange, request, answer, answer_body)
        if len(answer_body) > _LARGE_BYTES:
            large: Reply = yield RunBlocking(partial(self._reply, exchange, answer, answer_body))
            return large
        return self._reply(exchange, answer, answer_body)

    def _by_key(self, exchange: Exchange, choice: Choice, body: bytes) -> Steps[Choice]:
        """The choice of a serving endpoint's entity by the key in the body; without one the choice as it is."""
        find = partial(point_in_body, exchange.head.headers, choice.reference.name, body)
        point: float | None = (yield RunBlocking(find)) if len(body) > _LARGE_BYTES else find()
        return choice if point is None else self._holding.choose_again(exchange, choice, point)

    def _stream(self, exchange: Exchange, pieces: Pieces) -> Reply:
        key = exchange.choice.key if exchange.choice is not None else ("", None)
        exchange.stream = self._streams.slot(key)
        self._metrics.observe(FIRST_EVENT_SECONDS, self._clock() - exchange.started_s, *key)
        pieces.form = exchange.reply_format.event
        pieces.sending = partial(self._metrics.add, EVENTS, key)
        if exchange.request is not None and wants_traces(exchange.request.asked):
            pieces.tail = partial(last_events, exchange)
        pieces.fail = partial(self._failed_between_events, exchange)
        return Reply(200, HEADERS, pieces)

    def _failed_between_events(self, exchange: Exchange, error: ServingError | StreamFailedError) -> object:
        if isinstance(error, StreamFailedError):
            failure = explain(error.status, error.body, debug=self._settings.debug, sent=exchange.request)
        elif isinstance(error, LostError):
            failure = failure_of(WorkerCrashedError("The model's worker ended in the middle of this stream."))
        else:
            failure = failure_of(error)
        exchange.status = failure.status
        _logger.info("Request %s: its stream ends with status %d", exchange, failure.status)
        return exchange.reply_format.error_event(failure)

    def _reply(self, exchange: Exchange, answer: WorkerReply, body: bytes) -> Reply:
        started_s = self._clock()
        if answer.status != 200:
            failure = explain(answer.status, body, debug=self._settings.debug, sent=exchange.request)
            status, content_type, body = exchange.reply_format.refuse(failure)
            _logger.info("Request %s: the worker answered %d, the client gets %d", exchange, answer.status, status)
        else:
            body = exchange.reply_format.answer(body)
            if exchange.request is not None and wants_traces(exchange.request.asked):
                body = with_traces(body, exchange)
            status, content_type = 200, answer.content_type or JSON
        exchange.encode_s += self._clock() - started_s
        return Reply(status, [("Content-Type", content_type)], body)
