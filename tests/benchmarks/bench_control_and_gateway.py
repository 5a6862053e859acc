"""Measure the controller's tick and what the gateway adds to a request.

``python tests/benchmarks/bench_control_and_gateway.py [--json]`` prints a table, or JSON.

- *tick*: one round of the controller with nothing to do, at 500 registered models of which 100 are served: MLflow's
  own registry and our store on SQLite, a backend that starts nothing.
- *gateway*: one row of iris over one connection to a real server with one web worker, each request followed by the
  same one straight to the stock worker's socket; so both meet the same machine.
"""

from __future__ import annotations

import argparse
import http.client
import json
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from support import eventually
from support.controller import FakeBackend, model_files
from support.models import IRIS_COLUMNS, Models, register
from support.server import TrackingServer

from mlflow_serving_plugin.backends.base import WorkerPhase
from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.messages import Changed, Nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.database import open_database, upgrade
from mlflow_serving_plugin.store.endpoints import Store

REGISTERED, SERVED = 500, 100
TICKS = 500
REQUESTS, WARM_UP = 1500, 200
BODY = json.dumps({"dataframe_split": {"columns": IRIS_COLUMNS, "data": [[5.1, 3.5, 1.4, 0.2]]}}).encode()
HEADERS = {"Content-Type": "application/json"}


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    root = Path(tempfile.mkdtemp(prefix="mls-"))
    try:
        results = {**measure_ticks(root), **measure_gateway(Models(root / "models"))}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    print(json.dumps(results, indent=2) if arguments.json else table(results))


def measure_ticks(root: Path) -> dict[str, float]:
    """Milliseconds of a tick with nothing to do, of one while all is read anew, and of that reading itself."""
    from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

    database = f"sqlite:///{root}/mlflow.db"
    registry = SqlAlchemyStore(database)
    paths = StatePaths.create(root / "state")
    engine = open_database(database)
    upgrade(engine, paths.lock("database"))
    store = Store(engine)
    for number in range(REGISTERED):
        name = f"model-{number}"
        created = registry.create_registered_model(name).creation_timestamp
        registry.create_model_version(name, f"s3://models/{number}")
        if number < SERVED:
            store.enable(DEFAULT_WORKSPACE, name, model_created_ms=created, config=None, by=None)
    backend = FakeBackend()
    controller = Controller(
        ControllerDeps(
            settings=Settings(max_concurrent_starts=SERVED, max_concurrent_fetches=SERVED, poll_interval_s=1e9),
            paths=paths,
            store=store,
            registry=RegistryReader(lambda: registry),
            backend=backend,
            environments=Environments(Settings(), paths.environments),
            download=lambda _workspace, _name, _version, directory: model_files(directory),
            example=lambda _: None,
        )
    )
    try:
        eventually(lambda: _all_ready(controller, backend), within_s=120)
        idle = [_tick_ms(controller, []) for _ in range(TICKS)]
        busy, started = [_tick_ms(controller, [Changed()])], time.perf_counter()
        while controller._tasks._running:
            busy.append(_tick_ms(controller, []))
            time.sleep(0.005)
        refresh_ms = (time.perf_counter() - started) * 1000
    finally:
        controller._inbox.close()
        engine.dispose()
    return {
        "tick_median_ms": statistics.median(idle),
        "tick_max_ms": max(idle),
        "tick_while_reading_median_ms": statistics.median(busy),
        "tick_while_reading_max_ms": max(busy),
        "reading_all_ms": refresh_ms,
    }


def _all_ready(controller: Controller, backend: FakeBackend) -> bool:
    controller.tick([], time.monotonic())
    ready = sum(worker.phase is WorkerPhase.READY for worker in backend.observe())
    return ready == SERVED and not controller._tasks._running


def _tick_ms(controller: Controller, nudges: list[Nudge]) -> float:
    started = time.perf_counter()
    controller.tick(nudges, time.monotonic())
    return (time.perf_counter() - started) * 1000


def measure_gateway(models: Models) -> dict[str, float]:
    """Milliseconds of one request: to the stock worker, through the gateway to it, and to a worker of ours."""
    with TrackingServer("uvicorn") as server:
        for runtime in ("mlflow", "native"):
            register(server.client, runtime, models.path("iris-1"))
            server.enable(runtime, runtime=runtime)
        for runtime in ("mlflow", "native"):
            server.wait_ready(runtime, 1)
        (worker,) = server.workers("mlflow")
        served = http.client.HTTPConnection("127.0.0.1", server.port)
        direct = UnixHTTPConnection(worker["address"], 30)
        calls: dict[str, Callable[[], None]] = {
            "direct": lambda: _post(direct, "/invocations"),
            "mlflow": lambda: _post(served, "/model/mlflow/1/invocations"),
            "native": lambda: _post(served, "/model/native/1/invocations"),
        }
        times: dict[str, list[float]] = {name: [] for name in calls}
        for number in range(WARM_UP + REQUESTS):
            for name, call in calls.items():
                started = time.perf_counter()
                call()
                if number >= WARM_UP:
                    times[name].append((time.perf_counter() - started) * 1000)
        served.close()
        direct.close()
    median = {name: statistics.median(taken) for name, taken in times.items()}
    return {
        "stock_worker_direct_p50_ms": median["direct"],
        "stock_worker_through_gateway_p50_ms": median["mlflow"],
        "gateway_added_p50_ms": median["mlflow"] - median["direct"],
        "native_through_gateway_p50_ms": median["native"],
    }


def _post(connection: http.client.HTTPConnection, path: str) -> None:
    connection.request("POST", path, BODY, HEADERS)
    response = connection.getresponse()
    answer = response.read()
    assert response.status == 200, answer


def table(results: dict[str, Any]) -> str:
    """The results, a line each."""
    return "\n".join(f"{name.removesuffix('_ms').replace('_', ' '):40} {ms:9.3f} ms" for name, ms in results.items())


if __name__ == "__main__":
    main()
