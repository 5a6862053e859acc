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
from pathlib import Path

from mlflow_serving_plugin.metrics.families import FAMILIES, QUEUE_SECONDS, REFUSED, REQUEST_SECONDS, REQUESTS
from mlflow_serving_plugin.worker.counts import Counts, Histogram, key_of

_logger = logging.getLogger(__name__)

FLUSH_S = 0.2
"""Seconds between writes: the age of what others see, and what a killed process loses."""

_RETRY_S = 1.0


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

    def request(
        self, endpoint_id: str, version: str | None, status: int, took_s: float, queued_s: float, refused: bool = False
    ) -> None:
        """A scoring request was answered; without an endpoint the id is empty. ``refused``: before it was read."""
        with self._lock:
            series = self._requests.get((endpoint_id, version, status))
            if series is None:
                series = self._requests[endpoint_id, version, status] = (
                    self._index(REQUESTS, endpoint_id, version, status),
                    self._histogram(REQUEST_SECONDS, endpoint_id, version),
                    self._histogram(QUEUE_SECONDS, endpoint_id, version),
                )
            self._counts.values[series[0]] += 1
            if refused:
                self._counts.values[self._index(REFUSED, endpoint_id, version)] += 1
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
