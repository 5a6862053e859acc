"""Measures what the workers take, off the loop, and applies ``memory.admit`` in each tick."""

from __future__ import annotations

import logging
import time
from collections.abc import Hashable, Mapping
from functools import partial

from mlflow_serving_plugin.backends.base import Backend, Memory
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.memory import Admission, Limits, Measured, admit, in_words
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks, log_failure
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.host.memory import machine_memory_bytes, stalled_percent
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import EVICTIONS, WORKER_MEMORY
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)

_MEASURE, _EVERY_S, _EVERY_S_WHILE_FULL = "memory", 5.0, 1.0
_MOST_STALLED_PERCENT = 5.0
"""Of the last ten seconds, with nothing running for want of memory: far below what ends processes."""

_SHARE = 0.8
"""Of the machine's memory, for all workers together."""

Told = list[tuple[str, Event]]
"""Events, each with the id of its endpoint."""


def limits_of(settings: Settings) -> Limits:
    """The limits for all workers of this host."""
    most = settings.max_memory_bytes or int(machine_memory_bytes() * _SHARE)
    return Limits(max(0, most), settings.max_workers)


class MemoryWatch:
    """Belongs to the loop's thread; only measuring runs elsewhere."""

    def __init__(self, settings: Settings, backend: Backend, tasks: Tasks, metrics: Metrics) -> None:
        self._limits = limits_of(settings)
        self._backend = backend
        self._tasks = tasks
        self._metrics = metrics
        self._measured = Measured()
        self._next = 0.0
        self._grown: str | None = None
        self._by_entity: dict[Hashable, float] = {}
        metrics.gauge(WORKER_MEMORY, lambda: self._by_entity)

    def admit(
        self,
        desired: Mapping[EntityKey, DesiredEntity],
        replicas: Mapping[EntityKey, int],
        observed: Observed,
        used_at: Mapping[EntityKey, float],
        *,
        now: float,
        looked_at: float,
    ) -> tuple[Admission, Told]:
        """Which launches may begin and which versions go to sleep for them, and the events that tell of it."""
        found = admit(
            desired,
            replicas,
            observed,
            used_at,
            now=now,
            looked_at=looked_at,
            measured=self._measured,
            limits=self._limits,
        )
        self._measure_if_due(observed, now, full=bool(found.held_back))
        if found.evicted:
            # Whether the machine still stalls after that, the next measurement tells.
            self._measured = Measured(self._measured.memory, self._measured.sizes)
        for key in found.evicted:
            self._metrics.count(EVICTIONS, key.endpoint_id, key.name)
        told = [_event(desired[key], "VERSION_EVICTED", _EVICTED) for key in found.evicted]
        return found, told + self._told_of_growth(desired, observed, found.grown)

    def _told_of_growth(
        self, desired: Mapping[EntityKey, DesiredEntity], observed: Observed, grown: str | None
    ) -> Told:
        """Once for each worker, until the workers take less again."""
        if grown == self._grown:
            return []
        self._grown = grown
        worker = next((worker for worker in observed.workers if worker.worker_id == grown), None)
        taken = self._measured.memory.workers.get(grown or "")
        if worker is None or worker.key not in desired or taken is None:
            return []
        message = (
            f"A worker of this version has grown to {in_words(taken.total)}: all workers of this host together take "
            f"more than {in_words(self._limits.max_bytes)} (MLFLOW_SERVING_MAX_MEMORY_BYTES), and no idle version may "
            "sleep. Limit the version's memory_limit_mb."
        )
        return [_event(desired[worker.key], "VERSION_OUT_OF_MEMORY", message)]

    def _measure_if_due(self, observed: Observed, now: float, *, full: bool) -> None:
        if full:
            self._next = min(self._next, now + _EVERY_S_WHILE_FULL)
        if now < self._next or self._tasks.running(_MEASURE):
            return
        self._next = now + _EVERY_S
        if observed.workers or self._by_entity:
            keys = {worker.worker_id: worker.key for worker in observed.workers}
            ready = {worker.worker_id for worker in observed.workers if worker.ready}
            self._tasks.start(_MEASURE, self._measure, partial(self._take, keys, ready))

    def _measure(self) -> tuple[Memory, float]:
        return self._backend.memory(), stalled_percent()

    def _take(self, keys: Mapping[str, EntityKey], ready: set[str], outcome: Outcome, now: float) -> None:
        if outcome.error is not None:
            log_failure(outcome, now)
            return
        memory, stalled = outcome.value
        sizes = dict(self._measured.sizes)
        by_entity: dict[Hashable, float] = {}
        for worker_id, taken in memory.workers.items():
            if (key := keys.get(worker_id)) is not None:
                labels = key.endpoint_id, key.name
                by_entity[labels] = by_entity.get(labels, 0) + taken.total
                if worker_id in ready:
                    sizes[key] = taken.own
        if stalled > _MOST_STALLED_PERCENT:
            _logger.warning("The machine runs short of memory: nothing ran for %.0f %% of the last 10 s.", stalled)
        self._measured = Measured(memory, sizes, stalled > _MOST_STALLED_PERCENT)
        self._by_entity = by_entity
        self._metrics.touch()

    def forget(self, desired: Mapping[EntityKey, DesiredEntity]) -> None:
        """Forget the sizes of entities that are gone."""
        sizes = {key: size for key, size in self._measured.sizes.items() if key in desired}
        self._measured = Measured(self._measured.memory, sizes, self._measured.pressure)


_EVICTED = "Put to sleep before its idle timeout, to make room: the next request wakes the version."


def _event(wanted: DesiredEntity, kind: str, message: str) -> tuple[str, Event]:
    model, key = wanted.entity.model, wanted.key
    return key.endpoint_id, Event(int(time.time() * 1000), model.workspace, model.name, key.name, kind, message)
