"""The metrics that processes of the server count, by name: help, labels and buckets of each."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, WORKER_CPU

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
REFUSED = "refused"
"""Of the requests, those that no worker was asked for. For the controller alone: they wake no version."""
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
        "request_log_records",
        "Requests for the request log: taken, dropped, written; lost: a killed web worker had them in memory.",
        (*_OF_VERSION, "outcome"),
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
