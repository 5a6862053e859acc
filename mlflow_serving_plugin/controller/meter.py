"""What the controller counts, and that the files of ended processes are merged: it is the one of a host that may."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from mlflow_serving_plugin.controller.tasks import Job, Outcome, Tasks
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.metrics.counting import BUILDS, FAMILIES, RESTARTS, START_FAILURES, TICKS, Metrics
from mlflow_serving_plugin.metrics.files import Series, merge_ended

_logger = logging.getLogger(__name__)
_MERGE = Job("metrics")
_MERGE_EVERY_S = 30.0


class Meter:
    """Belongs to the loop's thread. ``clock`` in seconds."""

    def __init__(
        self, metrics: Metrics, directory: Path, tasks: Tasks, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._metrics = metrics
        self._directory = directory
        self._tasks = tasks
        self._clock = clock
        self._next_merge = 0.0
        self._building: dict[str, float] = {}

    def ticked(self, started: float) -> None:
        """A round ended that began at ``started`` by ``now``."""
        self._metrics.observe(TICKS, self.now() - started)

    def now(self) -> float:
        """The clock's time."""
        return self._clock()

    def worker_lost(self, key: EntityKey) -> None:
        """A serving worker died, or hung and is ended."""
        self._metrics.count(RESTARTS, key.endpoint_id, key.number)

    def start_failed(self, key: EntityKey) -> None:
        """A worker did not become ready."""
        self._metrics.count(START_FAILURES, key.endpoint_id, key.number)

    def build_began(self, environment: str) -> None:
        """An environment is being built."""
        self._building[environment] = self.now()

    def build_ended(self, environment: str, *, well: bool) -> None:
        """Its build ended."""
        began = self._building.pop(environment, None)
        if began is not None:
            self._metrics.observe(BUILDS, self.now() - began, "ok" if well else "failed")

    def merge_if_due(self, routes: Routes, now: float) -> None:
        """Begin to merge what ended processes have left, once it is known what is served."""
        if routes.written_ms and now >= self._next_merge and not self._tasks.running(_MERGE):
            self._next_merge = now + _MERGE_EVERY_S
            self._tasks.start(_MERGE, lambda: merge_ended(self._directory, lambda series: is_served(routes, series)))

    def settle(self, outcome: Outcome) -> bool:
        """Take the outcome of its own task; False for any other's."""
        if outcome.job == _MERGE and outcome.error is not None:
            _logger.warning("The metrics of ended processes could not be merged, trying again: %s", outcome.error)
        return outcome.job == _MERGE


def is_served(routes: Routes, series: Series) -> bool:
    """Whether a series is of a version that is served, or of none. Of an endpoint just read anew all are kept."""
    name, *labels = series
    if FAMILIES[str(name)].labels[:1] != ("model",) or not labels[0]:
        return True
    endpoint = next((found for found in routes.endpoints.values() if found.id == labels[0]), None)
    return endpoint is not None and (not endpoint.versions or labels[1] in endpoint.versions)
