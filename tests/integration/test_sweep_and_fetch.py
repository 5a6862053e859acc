"""Clearing up and fetching keep out of each other's way."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from support import eventually
from support.controller import FakeBackend, a_model, a_version, an_endpoint, model_files

from mlflow_serving_plugin.controller import execute
from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryRegistry, MemoryStore


def test_nothing_is_swept_while_a_fetch_is_under_way(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetching = threading.Event()
    let_go = threading.Event()
    swept_during_fetch = []

    def download(_workspace: str, _name: str, _version: int, directory: str) -> str:
        fetching.set()
        let_go.wait(10)
        return model_files(directory)

    monkeypatch.setattr(
        execute, "sweep", lambda *_: swept_during_fetch.append(fetching.is_set() and not let_go.is_set())
    )
    deps = ControllerDeps(
        settings=Settings(),
        paths=StatePaths.create(root / "state"),
        store=MemoryStore(an_endpoint("iris")),
        registry=MemoryRegistry(a_model("iris", a_version(1))),
        backend=FakeBackend(),
        environments=Environments(Settings(), StatePaths.create(root / "state").environments),
        download=download,
        example=lambda _: None,
    )
    controller = Controller(deps)

    def ticked_until(event: threading.Event) -> bool:
        controller.tick([], time.monotonic())
        return event.is_set()

    try:
        eventually(lambda: ticked_until(fetching))
        for _ in range(5):
            controller.tick([], time.monotonic())
        let_go.set()
        eventually(lambda: ticked_until(let_go) and swept_during_fetch)
        assert swept_during_fetch == [False]
    finally:
        let_go.set()
        controller._inbox.close()
