"""What the scenarios share: the models, a server that serves them, requests whose answers tell who gave them."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import signal
from collections.abc import Iterator
from typing import Any

import psutil
from support import eventually
from support.models import IRIS_COLUMNS, IRIS_OFFSETS, Models, move_stage, register
from support.server import TrackingServer
from support.shared import run_directory

from .client import Request, Response
from .load import Make

ROW = [5.1, 3.5, 1.4, 0.2]
"""An iris of class 0, to which each version adds a number of its own."""

BODY = json.dumps({"dataframe_split": {"columns": IRIS_COLUMNS, "data": [ROW]}}).encode()


@functools.cache
def models() -> Models:
    """The models, saved once."""
    return Models(run_directory() / "models")


@contextlib.contextmanager
def serving(
    *versions: int, name: str = "iris", config: dict[str, Any] | None = None, **options: Any
) -> Iterator[TrackingServer]:
    """A server with some versions of iris ready. ``options`` are TrackingServer's."""
    with TrackingServer(**options) as server:
        serve(server, name, *versions, **(config or {}))
        yield server


def serve(server: TrackingServer, name: str, *versions: int, **config: Any) -> None:
    """Register versions of iris under a name and have them served."""
    for version in versions:
        register(server.client, name, models().path(f"iris-{version}"))
    server.enable(name, **config)
    server.wait_ready(name, *versions)
    wanted = len(versions) * config.get("replicas", 1)
    eventually(lambda: ready_workers(server, name) == wanted, within_s=60, tail=server.tail)


def scoring(*paths: str) -> Make:
    """Requests to these references in turn."""
    requests = [Request(f"/model/{path}/invocations", BODY) for path in paths]
    return lambda number: requests[number % len(requests)]


def answer_of(response: Response) -> int | None:
    """What the answer is a prediction of: a version's offset."""
    with contextlib.suppress(ValueError, KeyError, IndexError, TypeError):
        return int(json.loads(response.body)["predictions"][0])
    return None


def matches_header(request: Request, response: Response) -> str | None:
    """A check: 200, and the prediction is of the version that the header names."""
    version = response.headers.get("x-mlflow-model-version", "")
    if response.status == 200 and version and answer_of(response) == IRIS_OFFSETS[int(version)]:
        return None
    return f"{request.path}: {response.status}, version {version}, {response.body[:300].decode(errors='replace')}"


def ready_workers(server: TrackingServer, name: str = "iris") -> int:
    """How many workers of a model take requests."""
    return sum(worker["ready"] for worker in server.workers(name))


def move_production(server: TrackingServer, version: int) -> None:
    """Move Production to one of the versions 1 and 2 of iris, so that it is never empty."""
    move_stage(server.client, "iris", version, "Production")
    move_stage(server.client, "iris", 3 - version, "Staging")


def in_production(server: TrackingServer) -> list[int]:
    """The versions of iris that are in Production, from the routes snapshot."""
    return [int(name) for name, entity in server.entities("iris").items() if entity["stage"] == "Production"]


def worker_pids(server: TrackingServer, name: str = "iris") -> list[int]:
    """The processes of a model's workers, from the routes snapshot, also those that are starting."""
    return [worker["pid"] for worker in server.workers(name)]


def kill_some_worker(server: TrackingServer, name: str = "iris") -> bool:
    """kill -9 a random model worker; False when there is none just now."""
    alive = [pid for pid in worker_pids(server, name) if psutil.pid_exists(pid)]
    if not alive:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(random.choice(alive), signal.SIGKILL)
    return True


def leader_pid(server: TrackingServer) -> int | None:
    """The web worker that runs the controller: the one that listens for nudges."""
    path = next(iter(server.state.glob("sockets/nudge")), None)
    if path is None:
        return None
    for process in server_processes(server):
        with contextlib.suppress(psutil.Error):
            if any(c.laddr == str(path) for c in process.net_connections(kind="unix")):
                return process.pid
    return None


def standing_by(server: TrackingServer) -> int:
    """How many web workers have started: each holds the file that tells the others of it."""
    lock = str(server.state / "web.lock")
    count = 0
    for process in server_processes(server):
        with contextlib.suppress(psutil.Error):
            count += any(opened.path == lock for opened in process.open_files())
    return count


def server_processes(server: TrackingServer) -> list[psutil.Process]:
    """``mlflow server`` and its web workers, no model workers."""
    workers = {process.pid for process in server.model_processes()}
    return [process for process in server.processes() if process.pid not in workers]


def kill_server(server: TrackingServer) -> None:
    """kill -9 of ``mlflow server`` and all its web workers at once; model workers and zygotes stay."""
    processes = server_processes(server)
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=10)
    eventually(server.ended, within_s=10)
