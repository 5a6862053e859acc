"""A real ``mlflow server --app-name serving`` for a test: started, watched, and gone afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import requests
from mlflow import MlflowClient

from support import eventually, preloaded, processes_about
from support.forked import ForkedCommand, mlflow_command
from support.shared import databases

START_S = 120.0
STOP_S = 40.0
READY_S = 150.0
HTTP_S = 90.0

_SERVERS = {
    "uvicorn": [],
    # gunicorn's threaded worker waits for idle connections that clients keep until its grace is over, by default 30 s.
    "gunicorn": ["--gunicorn-opts", "--threads 8 --timeout 120 --graceful-timeout 3"],
    "gunicorn-sync": ["--gunicorn-opts", "--log-level info"],
    "waitress": ["--waitress-opts", "--threads=8"],
}


class TrackingServer:
    """One tracking server with a state directory, database, artifacts and port of its own; a context manager.

    ``kind``: uvicorn, gunicorn, gunicorn-sync or waitress. ``backend``: sqlite, file, none, or a database URI.
    ``settings``: MLFLOW_SERVING_* variables without the prefix, in lower case. ``environ``: further variables.
    ``credentials``: headers of whoever calls ``api`` and ``score``. ``python``: the interpreter that runs it.
    """

    def __init__(
        self,
        kind: str = "uvicorn",
        *,
        workers: int = 1,
        static_prefix: str = "",
        backend: str = "sqlite",
        extra_args: tuple[str, ...] = (),
        settings: Mapping[str, Any] | None = None,
        app: str = "serving",
        environ: Mapping[str, str] | None = None,
        credentials: Mapping[str, str] | None = None,
        python: str = sys.executable,
    ) -> None:
        self.kind = kind
        self.prefix = static_prefix
        # Not below pytest's own directory: that name is too long for a unix socket.
        self.root = Path(tempfile.mkdtemp(prefix="mls-"))
        self.state = self.root / "state"
        self.artifacts = self.root / "artifacts"
        self.shared = self.root / "shared"
        """A directory that models may write in, also in the sandbox."""
        self.shared.mkdir()
        self.log = self.root / "server.log"
        self._take_port()
        self.web_workers = workers
        self._backend = backend
        self._extra_args = extra_args
        self._app = app
        self.environ = dict(environ or {})
        self.credentials = dict(credentials or {})
        self._settings = dict(settings or {})
        self._python = python
        self._process: subprocess.Popen[bytes] | ForkedCommand | None = None

    def __enter__(self) -> TrackingServer:
        try:
            self.start()
        except BaseException:
            self._clear()
            raise
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self.stop()
            if kind is None:
                self.assert_nothing_left()
        finally:
            self._clear()

    @property
    def pid(self) -> int:
        """The process of ``mlflow server`` itself."""
        return self._process.pid

    @property
    def client(self) -> MlflowClient:
        """MLflow's own client of this server."""
        return MlflowClient(tracking_uri=self.url, registry_uri=self.url)

    def start(self) -> None:
        """Start, and wait until MLflow answers; on another port when somebody has taken the port meanwhile."""
        if self._process is None and self._backend == "sqlite":
            shutil.copy(databases() / "mlflow.db", self.root)
        self._launch()
        eventually(self._answers, within_s=START_S, tail=self.tail)

    def _launch(self) -> None:
        own = self._python == sys.executable and not any(name.startswith("PYTHON") for name in self.environ)
        # Benchmarks measure what a server takes that was started from a shell.
        own = own and "PYTEST_VERSION" in os.environ
        # Others than root find the command by its command line only.
        if own and os.getuid() == 0:
            self._process = mlflow_command(self._arguments(), log=self.log, env=self._environment(), cwd=self.root)
            return
        command = [self._python, "-m", "mlflow", *self._arguments()]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._environment(), start_new_session=True, cwd=self.root
            )

    def _take_port(self) -> None:
        self.port = free_port()
        self.host = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.host}{self.prefix}"

    def stop(self) -> None:
        """Ask it to stop, as a service manager does: SIGTERM to all of it, then wait for the end."""
        if self._process is None or self._process.poll() is not None:
            return
        os.killpg(self._process.pid, signal.SIGTERM)
        eventually(self.ended, within_s=STOP_S, tail=self.tail)

    def processes(self) -> list[psutil.Process]:
        """Every process that has to do with this server."""
        return processes_about(self.root)

    def model_processes(self) -> list[psutil.Process]:
        """The processes of model workers: those of other sessions than the server's."""
        return [p for p in self.processes() if not _in_session(p.pid, self._process.pid)]

    def assert_nothing_left(self) -> None:
        """No process, socket or worker record of this server is left."""
        eventually(lambda: not self.processes(), tail=lambda: f"{self.processes()}\n{self.tail()}")
        left = [*self.sockets(), *(self.state / "workers").glob("*")]
        assert left == [], f"{left}\n{self.tail()}"

    def sockets(self) -> list[Path]:
        """The sockets in the state directory."""
        return list((self.state / "sockets").glob("*"))

    def tail(self) -> str:
        """The end of the server's log."""
        return self.log.read_text(errors="replace")[-6000:] if self.log.exists() else "(no log)"

    def routes(self) -> dict[str, Any]:
        """The routes snapshot: endpoints and entities by their keys, both as JSON. None before it is written."""
        snapshot = self.state / "routes.json"
        lines = json.loads(snapshot.read_text())["lines"] if snapshot.exists() else []
        lines = [line for line in lines if line]
        entities = [entity for line in lines for entity in line["entities"]]
        return {
            "endpoints": {line["key"]: line["endpoint"] for line in lines if line["endpoint"]},
            "entities": {"/".join(e["key"]): e for e in entities},
        }

    def api(self, method: str, action: str, *, base: str = "/api/2.0/mlflow/endpoints", **fields: Any) -> Any:
        """Call the control API with a JSON body; its answer, which must be a success."""
        response = requests.request(
            method, f"{self.url}{base}/{action}", json=fields, headers=self.credentials, timeout=HTTP_S
        )
        assert response.status_code == 200, f"{action}: {response.status_code} {response.text}\n{self.tail()}"
        return response.json()

    def enable(self, name: str, **config: Any) -> None:
        """Enable serving on a model."""
        self.api("POST", "enable", registered_model_name=name, **({"config": config} if config else {}))

    def workers(self, name: str) -> list[dict[str, Any]]:
        """The workers of a model, from the routes snapshot."""
        return [worker for entity in self.entities(name).values() for worker in entity["workers"]]

    def entities(self, name: str) -> dict[str, dict[str, Any]]:
        """The entities of a model in the routes snapshot, by name: one for each active version."""
        routes = self.routes()
        endpoint = routes["endpoints"].get(f"default/{name}", {"id": ""})
        keyed = ((e["key"], e) for e in routes["entities"].values())
        return {name: entity for (endpoint_id, name), entity in keyed if endpoint_id == endpoint["id"]}

    def states(self, name: str) -> dict[str, str]:
        """The state of each version, without its ``VERSION_STATE_``."""
        versions = self.api("GET", "list-versions", registered_model_name=name)["endpoint_versions"]
        return {v["endpoint_version_name"]: v["state"].removeprefix("VERSION_STATE_") for v in versions}

    def wait_ready(self, name: str, *versions: int) -> None:
        """Wait until these versions are READY."""
        self.wait_state(name, "READY", *versions)

    def wait_state(self, name: str, state: str, *versions: int) -> None:
        """Wait until these versions are all in one state."""
        eventually(
            lambda: all(self.states(name).get(str(version)) == state for version in versions),
            within_s=READY_S,
            tail=lambda: f"{name}: {self.api('GET', 'list-versions', registered_model_name=name)}\n{self.tail()}",
        )

    def score(self, path: str, data: Any, content_type: str = "application/json", **headers: str) -> requests.Response:
        """POST to ``/model/<path>/invocations``; ``data`` other than bytes is sent as JSON.

        On a connection of its own, so that any web worker may get it.
        """
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        return requests.post(
            f"{self.url}/model/{path}/invocations",
            data=body,
            headers={"Content-Type": content_type, **self.credentials, **headers},
            timeout=HTTP_S,
        )

    def ended(self) -> bool:
        """Whether ``mlflow server`` has ended."""
        return self._process.poll() is not None

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            assert "in use" in self.tail(), f"The server ended with {self._process.poll()}.\n{self.tail()}"
            self._take_port()
            self._launch()
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/health", timeout=5).status_code == 200
        return False

    def _arguments(self) -> list[str]:
        backend = {"sqlite": f"sqlite:///{self.root}/mlflow.db", "file": str(self.root / "mlruns")}
        return [
            *("server", "--app-name", self._app),
            *("--host", "127.0.0.1", "--port", str(self.port), "--workers", str(self.web_workers)),
            *(() if self._backend == "none" else ("--backend-store-uri", backend.get(self._backend, self._backend))),
            *("--artifacts-destination", str(self.artifacts)),
            *(("--static-prefix", self.prefix) if self.prefix else ()),
            *_SERVERS[self.kind],
            *self._extra_args,
        ]

    def _environment(self) -> dict[str, str]:
        settings = {"state_dir": self.state, "sandbox_writable_paths": self.shared, **self._settings}
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW", "PYTEST"))}
        return {
            **inherited,
            # The console scripts beside this interpreter, for a virtual environment that is not activated.
            "PATH": os.pathsep.join([str(Path(self._python).parent), inherited.get("PATH", os.defpath)]),
            **{f"MLFLOW_SERVING_{name.upper()}": str(value) for name, value in settings.items()},
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "MLFLOW_ALLOW_FILE_STORE": "true",
            # Seconds of processor time for a part of MLflow that has nothing to do with ours.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            **preloaded.for_servers(),
            **{name: value.replace("{root}", str(self.root)) for name, value in self.environ.items()},
        }

    def _clear(self) -> None:
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


class StockServer:
    """``mlflow models serve`` as MLflow ships it, on a unix socket: what a served version is compared with."""

    def __init__(self, model: Path) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="mls-"))
        self.address = str(self._directory / "s")
        self._log = self._directory / "log"
        command = [sys.executable, "-m", "mlflow", "models", "serve", "--model-uri", str(model)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--env-manager", "local", "--workers", "1"],
                stdout=log,
                stderr=log,
                env={
                    **os.environ,
                    "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
                    "UVICORN_UDS": self.address,
                    "MLFLOW_DISABLE_TELEMETRY": "true",
                },
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Wait until it answers."""
        eventually(self._answers, within_s=READY_S, tail=lambda: self._log.read_text(errors="replace")[-4000:])

    def close(self) -> None:
        """End it with everything below it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    def score(self, body: bytes, content_type: str, timeout_s: float = HTTP_S) -> tuple[int, bytes]:
        """POST to ``/invocations``."""
        return unix_post(self.address, body, content_type, timeout_s)

    def largest_process(self) -> int:
        """The process that holds the model."""
        below = psutil.Process(self._process.pid).children(recursive=True)
        return max(below, key=lambda process: process.memory_info().rss).pid

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-4000:]
        with contextlib.suppress(OSError):
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(5)
            with connection:
                connection.connect(self.address)
                return True
        return False


def free_port() -> int:
    """A port that nobody listens on, below those that the system gives to connections."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def unix_post(address: str, body: bytes, content_type: str, timeout_s: float = HTTP_S) -> tuple[int, bytes]:
    """POST to ``/invocations`` on a unix socket: status and body."""
    from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection

    connection = UnixHTTPConnection(address, timeout_s)
    try:
        connection.request("POST", "/invocations", body, {"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def curl(arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a real curl with arguments as a shell would split them."""
    words = ["curl", "--silent", "--show-error", "--max-time", "60", *shlex.split(arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=90, check=False)


@contextlib.contextmanager
def running(*servers: StockServer) -> Iterator[None]:
    """Wait for stock servers, and close them in the end."""
    try:
        for server in servers:
            server.wait_ready()
        yield
    finally:
        for server in servers:
            server.close()


def _in_session(pid: int, session: int) -> bool:
    try:
        return os.getsid(pid) == session
    except OSError:
        return False
