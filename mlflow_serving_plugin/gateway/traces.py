"""Traces of models on their way to the tracking store: an observer of exchanges, and the thread that writes.

A request never waits for the store. When the store is slower than the models, or away, traces are dropped and counted.
Storing a trace takes MLflow some 25 ms of processor time, in the process that answers requests, so under load the
thread rests between traces.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable

from mlflow_serving_plugin.domain.traces import TraceRecord, default_experiment
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import TRACES

_logger = logging.getLogger(__name__)
_often = Throttled(_logger)

_MOST_WAITING = 2000
_MOST_WAITING_BYTES = 64 * 1024 * 1024
_STOP_S = 5.0
_BUSY_PER_S = 100
"""Requests a second from which on the thread that writes leaves the processor to the requests."""
_REST = 9
"""How many times as long as a write computed the thread rests then: a tenth of the time is for traces."""


def rest_s(computed_s: float, took_s: float, ended: int) -> float:
    """How long to rest after a write that took so long, of which it computed so long, while so many requests ended."""
    return _REST * computed_s if ended > _BUSY_PER_S * took_s + 1 else 0.0


class Traces:
    """A service of one web worker, and an observer. ``write`` stores one trace; it may block, and it may fail."""

    def __init__(self, write: Callable[[TraceRecord], None], metrics: Metrics) -> None:
        self._write = write
        self._metrics = metrics
        self._waiting: deque[tuple[TraceRecord, tuple[str, str]]] = deque()
        self._waiting_bytes = 0
        self._changed = threading.Condition()
        self._ended = 0
        """Requests that have ended; a number, to tell whether there is load."""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving traces", daemon=True)

    def __call__(self, exchange: Exchange) -> None:
        """Take the traces of an exchange that has ended."""
        self._ended += 1
        if exchange.answer is None or not exchange.answer.traces or exchange.choice is None:
            return
        key = exchange.choice.key
        for text in exchange.answer.traces if exchange.stores_traces else ():
            if not text or not self._take(_record(exchange, text), key):
                self._count(key, "dropped")

    def start(self) -> None:
        """Start writing."""
        with contextlib.suppress(RuntimeError):
            self._thread.start()

    def stop(self) -> None:
        """Write what waits, for some seconds at most."""
        with self._changed:
            self._stopping.set()
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(_STOP_S)

    def _take(self, record: TraceRecord, key: tuple[str, str]) -> bool:
        with self._changed:
            if len(self._waiting) >= _MOST_WAITING or self._waiting_bytes + len(record.text) > _MOST_WAITING_BYTES:
                return False
            self._waiting.append((record, key))
            self._waiting_bytes += len(record.text)
            self._changed.notify()
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._stopping.is_set())
                if not self._waiting:
                    return
                record, key = self._waiting.popleft()
                self._waiting_bytes -= len(record.text)
            began_s, computed_s, ended = time.monotonic(), time.thread_time(), self._ended
            try:
                self._write(record)
            except ServingError as error:
                self._lose(key, error.message)
            except Exception as error:
                # What a database says may quote the trace.
                self._lose(key, f"Traces cannot be stored: {type(error).__name__}.")
            else:
                self._count(key, "stored")
            # Not on the condition, which each new trace notifies.
            computed_s, took_s = time.thread_time() - computed_s, time.monotonic() - began_s
            self._stopping.wait(rest_s(computed_s, took_s, self._ended - ended))

    def _lose(self, key: tuple[str, str], why: str) -> None:
        _often.log(logging.WARNING, "%s", why)
        self._count(key, "dropped")

    def _count(self, key: tuple[str, str], outcome: str) -> None:
        self._metrics.count(TRACES, *key, outcome)


def _record(exchange: Exchange, text: bytes) -> TraceRecord:
    choice = exchange.choice
    assert choice is not None  # noqa: S101 - the caller has looked
    endpoint, entity, asked = choice.endpoint, choice.entity, exchange.request and exchange.request.asked
    return TraceRecord(
        text=text,
        experiment=endpoint.config.trace_experiment or default_experiment(endpoint.name),
        workspace=exchange.workspace,
        endpoint_id=endpoint.id,
        endpoint=endpoint.name,
        entity=entity.served_name or entity.name,
        model=entity.model.name,
        version=str(entity.model.version),
        client_request_id=(asked.client_request_id if asked else None) or exchange.request_id,
        user=exchange.caller.name if exchange.caller is not None else None,
    )
