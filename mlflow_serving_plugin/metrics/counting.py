"""What a process of the server counts, for ``/serving/metrics``. Fed by gateway and controller; feeds files.

Endpoints are counted by their ids, which survive a rename; the exposition adds the names.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, WORKER_CPU, Counts, Histogram, key_of

_logger = logging.getLogger(__name__)

FLUSH_S = 0.2
"""Seconds between writes: the age of what others see, and what a killed process loses."""

_RETRY_S = 1.0
_REQUEST_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_BUILD_BOUNDS_S = (1, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
_WAKE_BOUNDS_S = (0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30, 60)
_TICK_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_OF_VERSION = ("model", "version")


@dataclass(frozen=True, slots=True)
class Family:
    """A metric as it is shown. ``labels``: model and version stand for an endpoint's id and a version's number."""

    name: str
    help: str
    labels: tuple[str, ...]
    bounds: tuple[float, ...] = ()
    """Of a histogram's buckets."""
    gauge: bool = False
    """Whether the series ends with its process."""

    @property
    def size(self) -> int:
        """How many values a series has."""
        return len(self.bounds) + 2 if self.bounds else 1


REQUESTS, REQUEST_SECONDS, QUEUE_SECONDS = "requests", "request_seconds", "queue_seconds"
IN_FLIGHT, WAITING = "in_flight", "waiting"
RESTARTS, START_FAILURES = "restarts", "start_failures"
STREAMS, EVENTS, FIRST_EVENT_SECONDS = "streams", "stream_events", "stream_first_event_seconds"
WAKES, WAKE_SECONDS = "wakes", "wake_seconds"
EVICTIONS, WORKER_MEMORY, LAST_REQUEST = "evictions", "worker_memory", "last_request"
SHADOW_REQUESTS, SHADOW_SECONDS = "shadow_requests", "shadow_seconds"
REQUEST_LOG = "request_log"
BUILDS, TICKS = "builds", "ticks"
PASSWORDS = "passwords"
TRACES = "traces"

FAMILIES = {
    REQUESTS: Family(
        "requests", "Scoring requests answered; status 499: the client left before.", (*_OF_VERSION, "status")
    ),
    REQUEST_SECONDS: Family(
        "request_duration_seconds", "From a request's head to its answer.", _OF_VERSION, _REQUEST_BOUNDS_S
    ),
    QUEUE_SECONDS: Family(
        "request_queue_seconds",
        "The part of a request's duration spent waiting: for a worker, in its queue, on the way there and back.",
        _OF_VERSION,
        _REQUEST_BOUNDS_S,
    ),
    IN_FLIGHT: Family("requests_in_flight", "Scoring requests being answered.", _OF_VERSION, gauge=True),
    WAITING: Family("requests_waiting", "Of those, held until a worker is ready.", _OF_VERSION, gauge=True),
    STREAMS: Family("streams_in_flight", "Of those, streams whose first event was sent.", _OF_VERSION, gauge=True),
    EVENTS: Family("stream_events", "Events of streams (stream: true) that were sent to clients.", _OF_VERSION),
    FIRST_EVENT_SECONDS: Family(
        "stream_first_event_seconds", "From a request's head to the first event.", _OF_VERSION, _REQUEST_BOUNDS_S
    ),
    TRACES: Family(
        "traces",
        "Traces of models (MLflow Tracing) that were stored; dropped: too large, too many, or the store was away.",
        (*_OF_VERSION, "outcome"),
    ),
    BATCH_ROWS: Family(
        "batch_rows", "Rows in one call of the model, on a worker's fast path.", _OF_VERSION, BATCH_ROWS_BOUNDS
    ),
    RESTARTS: Family("worker_restarts", "Workers that died or hung while serving.", _OF_VERSION),
    START_FAILURES: Family("worker_start_failures", "Workers that did not become ready.", _OF_VERSION),
    WAKES: Family("wakes", "Versions that were asleep and were woken.", _OF_VERSION),
    WAKE_SECONDS: Family(
        "wake_duration_seconds", "From the wake of a version to its first ready worker.", _OF_VERSION, _WAKE_BOUNDS_S
    ),
    EVICTIONS: Family(
        "evictions", "Versions that were put to sleep before their idle timeout, for want of memory.", _OF_VERSION
    ),
    WORKER_MEMORY: Family(
        "worker_memory_bytes",
        "Memory of a version's workers, with their share of the pages that several workers share.",
        _OF_VERSION,
        gauge=True,
    ),
    REQUEST_LOG: Family(
        "request_log_records", "Requests for the request log: taken, dropped, written.", (*_OF_VERSION, "outcome")
    ),
    WORKER_CPU: Family("worker_cpu_seconds", "Processor time of a version's native workers.", _OF_VERSION),
    LAST_REQUEST: Family(
        "last_request_timestamp_seconds",
        "When a version was last asked, in seconds since 1970, to within a few seconds; since the server's start.",
        _OF_VERSION,
        gauge=True,
    ),
    SHADOW_REQUESTS: Family(
        "shadow_requests",
        "Requests for a shadow by result: equal, within_tolerance or differs from the caller's answer, error, dropped.",
        (*_OF_VERSION, "result"),
    ),
    SHADOW_SECONDS: Family(
        "shadow_duration_seconds",
        "Time in the worker of requests that a shadow has scored too, by role: primary (the caller's) or shadow.",
        (*_OF_VERSION, "role"),
        _REQUEST_BOUNDS_S,
    ),
    BUILDS: Family(
        "environment_build_duration_seconds", "Builds of Python environments.", ("result",), _BUILD_BOUNDS_S
    ),
    PASSWORDS: Family(
        "password_failures", "Passwords that were wrong, or had to wait after wrong ones (delayed).", ("outcome",)
    ),
    TICKS: Family("controller_tick_duration_seconds", "Rounds of the controller.", (), _TICK_BOUNDS_S),
}


class Metrics:
    """Thread-safe; no method blocks or raises. ``directory`` None: nothing is written."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._gauges: dict[str, Callable[[], Mapping[Hashable, float]]] = {}
        self._begin()
        # gunicorn --preload makes this in its master and forks: a child counts for itself, from nothing.
        itself = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _begin_anew(itself()))

    def _begin(self) -> None:
        name = f"web-{os.getpid()}-{uuid.uuid4().hex[:8]}.counts"
        self._counts = Counts(None if self._directory is None else str(self._directory / name))
        self._lock = threading.Lock()
        self._flushing = threading.Lock()
        self._wake = threading.Event()
        self._dirty = False
        self._failing = False
        self._thread: threading.Thread | None = None
        self._indexes: dict[tuple[object, ...], int] = {}
        self._histograms: dict[tuple[object, ...], Histogram] = {}
        self._requests: dict[tuple[str, str | None, int], tuple[int, Histogram, Histogram]] = {}

    def gauge(self, name: str, counts: Callable[[], Mapping[Hashable, float]]) -> None:
        """Have a gauge written from what ``counts`` returns by ``(endpoint id, version)`` at each flush."""
        self._gauges[name] = counts

    def request(self, endpoint_id: str, version: str | None, status: int, took_s: float, queued_s: float) -> None:
        """A scoring request was answered; without an endpoint the id is empty."""
        with self._lock:
            series = self._requests.get((endpoint_id, version, status))
            if series is None:
                series = self._requests[endpoint_id, version, status] = (
                    self._index(REQUESTS, endpoint_id, version, status),
                    self._histogram(REQUEST_SECONDS, endpoint_id, version),
                    self._histogram(QUEUE_SECONDS, endpoint_id, version),
                )
            self._counts.values[series[0]] += 1
            series[1].observe(took_s)
            series[2].observe(queued_s)
        if not self._dirty or self._thread is None:
            self.touch()

    def count(self, name: str, *labels: object) -> None:
        """One more."""
        self.add(name, labels, 1)

    def add(self, name: str, labels: tuple[object, ...], number: int) -> None:
        """So many more."""
        with self._lock:
            self._counts.values[self._index(name, *labels)] += number
        self.touch()

    def observe(self, name: str, size: float, *labels: object) -> None:
        """One more, of a size."""
        with self._lock:
            self._histogram(name, *labels).observe(size)
        self.touch()

    def touch(self) -> None:
        """Have changed numbers written soon."""
        if self._directory is None or (self._dirty and self._thread is not None):
            return
        self._dirty = True
        self._wake.set()
        if self._thread is None:
            # No thread can start at the end of the process or without memory. A later touch tries again.
            with self._lock, contextlib.suppress(RuntimeError):
                if self._thread is None:
                    thread = threading.Thread(target=self._write_on, name="serving metrics", daemon=True)
                    thread.start()
                    self._thread = thread

    def flush(self) -> bool:
        """Write the changed numbers now; False when the file cannot be written."""
        with self._flushing:
            if not self._dirty:
                return True
            self._dirty = False
            try:
                with self._lock:
                    self._take_gauges()
                self._counts.flush()
            except OSError as error:
                if not self._failing:
                    _logger.warning("Metrics cannot be written; serving goes on without: %s", error)
                self._failing = self._dirty = True
            else:
                self._failing = False
            return not self._failing

    def _take_gauges(self) -> None:
        for name, look in self._gauges.items():
            now = look()
            for known in [known for known in self._indexes if known[0] == name and known[1:] not in now]:
                self._counts.values[self._indexes[known]] = 0
            for key, number in now.items():
                if isinstance(key, tuple):
                    self._counts.values[self._index(name, *key)] = number

    def _write_on(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(FLUSH_S)
            self._wake.clear()
            if not self.flush():
                time.sleep(_RETRY_S)
                self._wake.set()

    def _index(self, name: str, *labels: object) -> int:
        series = (name, *labels)
        if series not in self._indexes:
            self._indexes[series] = self._counts.allot(key_of(name, *labels), 1)
        return self._indexes[series]

    def _histogram(self, name: str, *labels: object) -> Histogram:
        series = (name, *labels)
        if series not in self._histograms:
            self._histograms[series] = Histogram(self._counts, key_of(name, *labels), FAMILIES[name].bounds)
        return self._histograms[series]


def _begin_anew(metrics: Metrics | None) -> None:
    if metrics is not None:
        with contextlib.suppress(OSError):
            metrics._counts.close()
        metrics._begin()
