"""Workers that are only said to run, in a backend's place."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import Environment


class MemoryBackend:
    """Each launch makes a READY worker, unless ``fail`` was called for the entity.

    ``launched``, ``stopped`` and ``retained`` tell what was asked for, in order; ``before_launch`` runs in each
    launch; while the event ``released`` is clear, launches wait.
    """

    def __init__(self) -> None:
        self.launched: list[EntityKey] = []
        self.stopped: list[str] = []
        self.retained: list[set[Environment]] = []
        self.released = threading.Event()
        self.released.set()
        self.before_launch: Callable[[WorkerSpec], None] = lambda spec: None
        self._workers: dict[str, WorkerStatus] = {}
        self._failing: dict[EntityKey, str] = {}
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def fail(self, key: EntityKey, message: str) -> None:
        """Make launches of an entity fail from now on, with this reason."""
        self._failing[key] = message

    def recover(self, key: EntityKey) -> None:
        """Let launches of an entity succeed again."""
        self._failing.pop(key, None)

    def die(self, worker_id: str, message: str = "MemoryError: out of it", *, has_served: bool = False) -> None:
        """Let a worker be found dead; ``has_served``: after many answers."""
        with self._lock:
            dead = replace(self._workers[worker_id], phase=WorkerPhase.DEAD, message=message, has_served=has_served)
            self._workers[worker_id] = dead

    def live(self) -> list[WorkerStatus]:
        """The workers that are not dead."""
        return [worker for worker in self.observe() if worker.phase is not WorkerPhase.DEAD]

    def adopt(self) -> None:
        """Nothing is left of earlier controllers."""

    def launch(self, spec: WorkerSpec) -> None:
        self.launched.append(spec.key)
        self.released.wait(30)
        self.before_launch(spec)
        if spec.key in self._failing:
            raise WorkerFailedError(self._failing[spec.key])
        now_ms = int(time.time() * 1000)
        with self._lock:
            number = next(self._ids)
            worker = WorkerStatus(
                worker_id=f"w{number}",
                key=spec.key,
                fingerprint=spec.fingerprint,
                phase=WorkerPhase.READY,
                message="",
                pid=number,
                protocol="http",
                address=f"/run/w{number}.sock",
                started_ms=now_ms,
                ready_since_ms=now_ms,
            )
            self._workers[worker.worker_id] = worker

    def observe(self) -> list[WorkerStatus]:
        with self._lock:
            return list(self._workers.values())

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        with self._lock:
            self._workers.pop(worker_id, None)
        self.stopped.append(worker_id)

    def retain(self, environments: Collection[Environment]) -> None:
        self.retained.append(set(environments))

    def cancel(self) -> None:
        self.released.set()
