"""Values for tests of the controller."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import (
    OVERDUE,
    Memory,
    WorkerFailedError,
    WorkerPhase,
    WorkerSpec,
    WorkerStatus,
)
from mlflow_serving_plugin.controller.desired import DesiredEntity, View, desire
from mlflow_serving_plugin.domain.endpoint import Endpoint, EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import Environment, own_environment
from mlflow_serving_plugin.environments.recipe import Need, Recipe
from mlflow_serving_plugin.host.memory import Taken
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel

WORKSPACE = "default"
OWN = own_environment()
TIMEOUT_S = 60.0
SHARED_BYTES = 10 * 2**20


def an_endpoint(name: str = "iris", *, id: str = "", created_ms: int = 1, **config: object) -> Endpoint:
    """An endpoint whose id is ``e-<name>`` unless given."""
    return Endpoint(id or f"e-{name}", WORKSPACE, name, EndpointConfig(**config), created_ms)


def a_version(number: int, stage: str = "None", *, status: str = "READY", source: str = "") -> ModelVersion:
    """A model version."""
    return ModelVersion(number, stage, status, source or f"s3://models/{number}")


def a_model(name: str = "iris", *versions: ModelVersion, created_ms: int = 1, **aliases: int) -> RegisteredModel:
    """A registered model."""
    return RegisteredModel(WORKSPACE, name, created_ms, versions, aliases)


def a_view(*pairs: tuple[Endpoint, RegisteredModel]) -> View:
    """What store and registry say."""
    return View({e.id: e for e, _ in pairs}, {(m.workspace, m.name): m for _, m in pairs})


def desired_of(*numbers: int, name: str = "iris", **config: object) -> dict[EntityKey, DesiredEntity]:
    """These versions of one endpoint, desired; newest first, as the registry's reader leads to."""
    versions = tuple(a_version(n) for n in sorted(numbers))
    return desire(a_view((an_endpoint(name, **config), a_model(name, *versions))), TIMEOUT_S)


def a_need(model_dir: str = "/models/1", key: str = "", environment: Environment | None = OWN) -> Need:
    """What a fetched model needs: the server's own environment unless a ``key`` says otherwise."""
    manager = "uv" if key else "local"
    recipe = Recipe(key, manager, "it says so", ("3.11",), (), (), (), (), (), Path(model_dir))
    return Need(recipe, None if key and environment is OWN else environment)


def a_worker(
    wanted: DesiredEntity, worker_id: str = "w", phase: WorkerPhase = WorkerPhase.READY, **changes: object
) -> WorkerStatus:
    """A worker of a desired version, of its very fingerprint unless changed."""
    status = WorkerStatus(
        worker_id=worker_id,
        key=wanted.key,
        fingerprint=wanted.fingerprint,
        phase=phase,
        message="",
        pid=4711,
        protocol="http",
        address=f"/run/{worker_id}.sock",
        started_ms=1000,
        ready_since_ms=None if phase is WorkerPhase.STARTING else 2000,
    )
    return replace(status, **changes)


class FakeBackend:
    """Workers that are only said to run. Each launch makes a READY worker, unless ``fail`` was called for the entity.

    ``launched``, ``stopped`` and ``retained``: what was asked for, in order;
    ``own_bytes``: the memory of each worker; ``before_launch`` runs in each launch.
    Launches wait while the event ``released`` is clear, stops while ``finished`` is: as workers with requests do.
    """

    def __init__(self) -> None:
        self.launched: list[EntityKey] = []
        self.stopped: list[str] = []
        self.retained: list[set[Environment]] = []
        self.released = threading.Event()
        self.released.set()
        self.finished = threading.Event()
        self.finished.set()
        self.own_bytes = 30 * 2**20
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

    def drain(self, worker_id: str) -> None:
        """Let a worker say that it takes no more requests."""
        with self._lock:
            self._workers[worker_id] = replace(self._workers[worker_id], phase=WorkerPhase.DRAINING, message=OVERDUE)

    def live(self) -> list[WorkerStatus]:
        """The workers that are not dead."""
        return [worker for worker in self.observe() if worker.phase is not WorkerPhase.DEAD]

    def numbers(self) -> list[int]:
        """The version numbers of live workers."""
        return sorted(int(worker.key.name) for worker in self.live())

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
                token_id=spec.token_id,
            )
            self._workers[worker.worker_id] = worker

    def observe(self) -> list[WorkerStatus]:
        with self._lock:
            return list(self._workers.values())

    def memory(self) -> Memory:
        taken = Taken(self.own_bytes + SHARED_BYTES, self.own_bytes)
        return Memory({worker.worker_id: taken for worker in self.live()}, SHARED_BYTES)

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        self.finished.wait(30)
        with self._lock:
            self._workers.pop(worker_id, None)
        self.stopped.append(worker_id)

    def retain(self, environments: Collection[Environment]) -> None:
        self.retained.append(set(environments))

    def cancel(self) -> None:
        self.released.set()


def model_files(directory: str | Path) -> str:
    """Put what passes for a model into a directory; a ``Download`` that always works."""
    found = Path(directory) / "files"
    found.mkdir(parents=True)
    (found / "MLmodel").write_text("flavors: {}\n")
    return str(found)
