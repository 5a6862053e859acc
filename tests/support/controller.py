"""Values for tests of the controller."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity, View, desire
from mlflow_serving_plugin.domain.endpoint import Endpoint, EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import Environment, own_environment
from mlflow_serving_plugin.environments.recipe import Need, Recipe
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel
from mlflow_serving_plugin.testing import MemoryBackend

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


class FakeBackend(MemoryBackend):
    """The double in memory, which also says which versions run, and whose workers can have requests to finish."""

    def __init__(self) -> None:
        super().__init__()
        self.finished = threading.Event()
        """Cleared: the workers that are being stopped still have requests to finish."""
        self.finished.set()

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        self.finished.wait(30)
        super().stop(worker_id, at_once=at_once)

    def numbers(self) -> list[int]:
        """The version numbers of live workers."""
        return sorted(int(worker.key.name) for worker in self.live())


def model_files(directory: str | Path) -> str:
    """Put what passes for a model into a directory; a ``Download`` that always works."""
    found = Path(directory) / "files"
    found.mkdir(parents=True)
    (found / "MLmodel").write_text("flavors: {}\n")
    return str(found)
