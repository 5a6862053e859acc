"""The controller's metrics, and the merging of ended processes' files, which the one controller of a host does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, time

from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import (
    BUILDS,
    FAMILIES,
    RESTARTS,
    START_FAILURES,
    TICKS,
    WAKE_SECONDS,
    WAKES,
)
from mlflow_serving_plugin.metrics.files import Series, merge_ended
from mlflow_serving_plugin.metrics.history_file import FINE_S
from mlflow_serving_plugin.metrics.recorder import Recorder

_logger = logging.getLogger(__name__)

MERGE_EVERY_S = 30.0

Start = Callable[[Callable[[], None]], None]
"""Runs a function off the loop."""


class ControllerMetrics:
    """Belongs to the loop's thread. ``start`` runs slow work elsewhere. ``clock`` in seconds."""

    def __init__(
        self,
        metrics: Metrics,
        directory: Path,
        start: Start,
        *,
        recorder: Recorder | None = None,
        merge_every_s: float = MERGE_EVERY_S,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        self._metrics = metrics
        self._directory = directory
        self._start = start
        self._recorder = recorder
        self._recording = False
        self._merge_every_s = merge_every_s
        self._clock = clock
        self._next_merge = 0.0
        self._recorded = time() // FINE_S
        self._merging = False
        self._building: dict[str, float] = {}

    def ticked(self, started: float) -> None:
        """A tick ended that began at ``started`` by ``now``."""
        self._metrics.observe(TICKS, self.now() - started)

    def now(self) -> float:
        """The clock's time."""
        return self._clock()

    def worker_lost(self, key: EntityKey) -> None:
        """A serving worker died, or hung and is ended."""
        self._metrics.count(RESTARTS, key.endpoint_id, key.name)

    def start_failed(self, key: EntityKey) -> None:
        """A worker did not become ready."""
        self._metrics.count(START_FAILURES, key.endpoint_id, key.name)

    def woken(self, before: Routes, after: Routes) -> None:
        """Count the wakes that began and ended between two snapshots."""
        for key, now in after.entities.items():
            then = before.entities.get(key)
            if then is None or then is now or then.state is now.state:
                continue
            if then.state is EntityState.ASLEEP:
                self._metrics.count(WAKES, now.key.endpoint_id, now.name)
            elif then.state is EntityState.WAKING and now.state is EntityState.READY:
                took_s = (now.since_ms - then.since_ms) / 1000
                self._metrics.observe(WAKE_SECONDS, took_s, now.key.endpoint_id, now.name)

    def build_began(self, environment: str) -> None:
        """The build of an environment began."""
        self._building[environment] = self.now()

    def build_ended(self, environment: str, *, well: bool) -> None:
        """The build of an environment ended."""
        began = self._building.pop(environment, None)
        if began is not None:
            self._metrics.observe(BUILDS, self.now() - began, "ok" if well else "failed")

    def merge_if_due(self, routes: Routes, now: float) -> None:
        """Begin to merge the files of ended processes, once the routes are known. ``now``: monotonic, in seconds."""
        if routes.written_ms and now >= self._next_merge and not self._merging:
            self._next_merge = now + self._merge_every_s
            self._merging = True
            self._start(lambda: self._merge(routes))

    def record_if_due(self, routes: Routes) -> None:
        """Begin to write the step of the history that has ended, once the routes are known."""
        step = time() // FINE_S
        if self._recorder is not None and routes.written_ms and step != self._recorded and not self._recording:
            self._recorded = step
            self._recording = True
            self._start(lambda: self._record(routes))

    def close(self, routes: Routes) -> None:
        """Write what was counted last."""
        if self._recorder is not None:
            self._recorder.close(routes)

    def _record(self, routes: Routes) -> None:
        try:
            if self._recorder is not None:
                self._recorder.record(routes)
        finally:
            self._recording = False

    def _merge(self, routes: Routes) -> None:
        try:
            if self._recorder is not None:
                self._recorder.look()
            merge_ended(self._directory, lambda series: is_served(routes, series))
        except OSError as error:
            _logger.warning("The metrics of ended processes could not be merged and will be retried: %s", error)
        finally:
            self._merging = False


def is_served(routes: Routes, series: Series) -> bool:
    """Whether a series is of a version that is served, or of none. An endpoint just read anew keeps all series."""
    name, *labels = series
    if FAMILIES[str(name)].labels[:1] != ("model",) or not labels[0]:
        return True
    if f"{labels[0]}/{labels[1]}" in routes.entities:
        return True
    endpoint = next((found for found in routes.endpoints.values() if found.id == labels[0]), None)
    return endpoint is not None and not endpoint.entities
