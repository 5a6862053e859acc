"""Values and doubles for tests of the controller: a store, a registry and a backend that live in memory."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity, View, desire
from mlflow_serving_plugin.domain.endpoint import Endpoint, EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.environments.ready import Environment, own_environment
from mlflow_serving_plugin.environments.recipe import Need, Recipe
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel

WORKSPACE = "default"
OWN = own_environment()
TIMEOUT_S = 60.0


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
    recipe = Recipe(key, manager, "it says so", "3.11", (), (), (), (), (), Path(model_dir))
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


class MemoryStore:
    """Endpoints and events in memory. ``broken`` set to an error makes reading raise it."""

    def __init__(self, *endpoints: Endpoint) -> None:
        self.endpoints = {endpoint.id: endpoint for endpoint in endpoints}
        self.events: list[tuple[str, Event]] = []
        self.broken: Exception | None = None

    def enabled(self) -> list[Endpoint]:
        if self.broken:
            raise self.broken
        return sorted(self.endpoints.values(), key=lambda endpoint: endpoint.name)

    def rename(self, endpoint: Endpoint, name: str) -> None:
        self.endpoints[endpoint.id] = replace(endpoint, name=name)

    def remove(self, endpoint: Endpoint) -> None:
        del self.endpoints[endpoint.id]

    def add_events(self, events: Iterable[tuple[str, Event]]) -> None:
        self.events.extend(events)

    def prune_events(self, before_ms: int) -> int:
        return 0


class MemoryRegistry:
    """Registered models in memory. ``broken`` set to an error makes reading raise it; ``reads`` tells of what was."""

    def __init__(self, *models: RegisteredModel) -> None:
        self.models = {model.name: model for model in models}
        self.reads: list[str] = []
        self.broken: Exception | None = None

    def model(self, workspace: str, name: str) -> RegisteredModel:
        self.reads.append(name)
        if self.broken:
            raise self.broken
        if name not in self.models:
            raise NotFoundError(f"Registered Model with name={name} not found")
        return self.models[name]

    def renamed_to(self, workspace: str, created_ms: int) -> str | None:
        if self.broken:
            raise self.broken
        names = [model.name for model in self.models.values() if model.created_ms == created_ms]
        return names[0] if len(names) == 1 else None

    def put(self, model: RegisteredModel) -> None:
        """Register or change a model."""
        self.models[model.name] = model


class FakeBackend:
    """Workers that are only said to run. ``fail(key, message)`` makes launches fail, ``hold`` makes them wait."""

    def __init__(self) -> None:
        self.launched: list[EntityKey] = []
        self.stopped: list[str] = []
        self.retained: list[set[Environment]] = []
        self.released = threading.Event()
        self.released.set()
        self.finished = threading.Event()
        """Cleared: the workers that are being stopped still have requests to finish."""
        self.finished.set()
        self.before_launch: Callable[[WorkerSpec], None] = lambda spec: None
        self._workers: dict[str, WorkerStatus] = {}
        self._failing: dict[EntityKey, str] = {}
        self._lock = threading.Lock()
        self._ids = itertools.count(1)

    def fail(self, key: EntityKey, message: str) -> None:
        """Make launches of a version fail from now on."""
        self._failing[key] = message

    def recover(self, key: EntityKey) -> None:
        """Let its launches succeed again."""
        self._failing.pop(key, None)

    def die(self, worker_id: str, message: str = "MemoryError: out of it", *, has_served: bool = False) -> None:
        """Have a worker be found dead; ``has_served``: after many answers."""
        with self._lock:
            self._workers[worker_id] = replace(
                self._workers[worker_id], phase=WorkerPhase.DEAD, message=message, has_served=has_served
            )

    def live(self) -> list[WorkerStatus]:
        """The workers that are not dead."""
        return [worker for worker in self.observe() if worker.phase is not WorkerPhase.DEAD]

    def numbers(self) -> list[int]:
        """The version numbers of live workers."""
        return sorted(int(worker.key.name) for worker in self.live())

    def adopt(self) -> None:
        pass

    def launch(self, spec: WorkerSpec) -> None:
        self.launched.append(spec.key)
        self.released.wait(30)
        self.before_launch(spec)
        if spec.key in self._failing:
            raise WorkerFailedError(self._failing[spec.key])
        with self._lock:
            number = next(self._ids)
            worker_id = f"w{number}"
            self._workers[worker_id] = WorkerStatus(
                worker_id=worker_id,
                key=spec.key,
                fingerprint=spec.fingerprint,
                phase=WorkerPhase.READY,
                message="",
                pid=number,
                protocol="http",
                address=f"/run/{worker_id}.sock",
                started_ms=_now_ms(),
                ready_since_ms=_now_ms(),
            )

    def observe(self) -> list[WorkerStatus]:
        with self._lock:
            return list(self._workers.values())

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


def _now_ms() -> int:
    import time

    return int(time.time() * 1000)
