"""The front of a web worker under a real web server: dispatch, gateway and control API around doubles in memory.

``asgi`` and ``wsgi`` are what web servers import from here, in a process of their own; ``Front`` starts the server.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import requests

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.api.app import PATHS
from mlflow_serving_plugin.background import Background
from mlflow_serving_plugin.control import Control
from mlflow_serving_plugin.dispatch import AsgiDispatch, Mounts, WsgiDispatch
from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.gateway.addresses import PREFIXES
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.settings import Settings
from support import eventually
from support.api import ApiWorld
from support.gateway_fakes import FrameWorker
from support.matrix import APP, FAILED, MODEL, ROWS, Place
from support.routes import an_entity, routes_of
from support.server import START_S, free_port

_DIRECTORY = "SERVING_TESTS_FRONT"
ALICE, STRANGER = "Basic YWxpY2U6eA==", "Basic Ym9iOng="
_COMMANDS = {
    "uvicorn": ("uvicorn", "support.front:asgi", "--no-access-log", "--port", "{port}"),
    "gunicorn": ("gunicorn", "support.front:wsgi", "--threads", "8", "--bind", "127.0.0.1:{port}"),
    "gunicorn-sync": ("gunicorn", "support.front:wsgi", "--bind", "127.0.0.1:{port}"),
    "waitress": ("waitress", "--listen", "127.0.0.1:{port}", "support.front:wsgi"),
}


def __getattr__(name: str) -> Any:
    if name not in {"asgi", "wsgi"}:
        raise AttributeError(name)
    world = ApiWorld(
        Path(os.environ[_DIRECTORY]), rules=BrowserRules(_is_known, lambda origin: origin == APP, bearer_exempt=True)
    )
    world.access.users = {ALICE: "alice", STRANGER: "bob"}
    world.access.permissions = {("bob", MODEL): Permission.NONE}
    deps = world.deps
    gateway = Gateway(
        Settings(),
        deps.snapshot,
        world.access,
        HostServices(world.paths.nudges),
        browser_rules=deps.browser_rules,
    )
    control = Control(world.app, world.access, rules=deps.browser_rules, memory=gateway.memory)
    driver: Any = (AsgiGateway if name == "asgi" else WsgiGateway)(gateway)
    mounts = Mounts(dict.fromkeys(PREFIXES, driver) | dict.fromkeys(PATHS, partial(driver.serve, control.respond)))
    if name == "asgi":
        return AsgiDispatch(_nothing, mounts, Background([]), driver.close)
    return WsgiDispatch(_nothing, mounts, Background([]))


def _is_known(host: str) -> bool:
    return host.startswith("127.0.0.1:")


def _nothing(*_: Any) -> Any:
    raise NotImplementedError


class Front:
    """One web server with one web worker; one model is served by a worker in this process, another has failed.

    ``kind``: uvicorn, gunicorn (with threads), gunicorn-sync or waitress.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.root = Path(tempfile.mkdtemp(prefix="front"))
        self._log = self.root / "log"
        self._worker = FrameWorker(self.root / "w", _answer)
        publish(StatePaths.create(self.root).routes, self._routes())
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        tests = str(Path(__file__).parent.parent)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *(word.format(port=self.port) for word in _COMMANDS[kind])],
                stdout=log,
                stderr=log,
                cwd=tests,
                env={**os.environ, _DIRECTORY: str(self.root), "PYTHONPATH": tests},
            )

    def wait_ready(self) -> None:
        """Wait until the server answers."""
        eventually(self._answers, within_s=START_S, tail=self._log.read_text)

    def place(self) -> Place:
        """The server for the table of requests."""
        return Place(self.kind, self.port, "", {"Authorization": ALICE}, {"Authorization": STRANGER})

    def terminate(self) -> None:
        """Ask the server to stop."""
        self._process.terminate()

    def close(self) -> None:
        """Wait until the server has stopped, and stop the worker."""
        self._process.wait(60)
        self._worker.stop()
        shutil.rmtree(self.root)

    def _routes(self) -> Any:
        (self.root / "MLmodel").write_text("flavors: {}\n")
        served = an_entity(
            model=MODEL,
            stage="Production",
            model_dir=str(self.root),
            mlflow_version="3.1.0",
            workers=(WorkerRoute("w", "frames", str(self.root / "w"), os.getpid(), 0, ready=True),),
        )
        failed = an_entity(1, EntityState.FAILED, "it does not load", endpoint_id="e2", model=FAILED)
        one = routes_of(served, name=MODEL, aliases={"champion": 1})
        other = routes_of(failed, name=FAILED, endpoint_id="e2")
        return type(one)(endpoints=one.endpoints | other.endpoints, entities=one.entities | other.entities)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        try:
            return requests.get(f"{self.url}/model/x/1/ping", timeout=10).status_code == 401
        except requests.RequestException:
            # gunicorn listens before its web worker has imported the app.
            return False


def _answer(_: str, body: bytes) -> tuple[int, str, bytes]:
    if b"other" in body:
        return 400, "application/json", b'{"error_code": "BAD_REQUEST", "message": "no such column"}'
    return 200, "application/json", b'{"predictions": [' + b"0, " * (ROWS - 1) + b"0]}"
