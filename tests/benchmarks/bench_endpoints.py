"""Measure what a serving endpoint adds to a request: the split, a client's key, rate limits, a shadow.

``python tests/benchmarks/bench_endpoints.py [--core] [--json]`` prints a table, or JSON: medians of many rounds in
turn, so that all meet the same machine.

- *core*: microseconds of processor time of the gateway's core for one row of iris, its steps answered at once.
- *server*: requests a second over one connection to a real server, through the split of two entities against the URL
  of a version. ``--core`` leaves this out.

What callers notice of shadows is measured by ``python -m tests.chaos shadows``.
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
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import requests
from support import eventually
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker_route
from support.models import IRIS_COLUMNS, Models, register
from support.server import HTTP_S, TrackingServer

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.routes import EndpointRoute, Routes, serving_key
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.messages import Head, ReadBody
from mlflow_serving_plugin.links.base import WorkerReply
from mlflow_serving_plugin.settings import Settings

ROUNDS, CALLS = 40, 1000
SERVER_ROUNDS, REQUESTS = 40, 100
BODY = json.dumps({"dataframe_split": {"columns": IRIS_COLUMNS, "data": [[5.1, 3.5, 1.4, 0.2]]}}).encode()
REPLY = WorkerReply(*PREDICTED, (2, 3, 4))
JSON_HEADERS = {"content-type": "application/json"}
KEYED = {**JSON_HEADERS, "x-client-request-id": "alice"}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--core", action="store_true", help="leave the real server out")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mls-"))
    try:
        results = measure(root) | ({} if arguments.core else measure_server())
    finally:
        shutil.rmtree(root, ignore_errors=True)
    table = "\n".join(f"{name.replace('_', ' '):28} {value:9.2f}" for name, value in results.items())
    print(json.dumps(results, indent=2) if arguments.json else table)


def measure(root: Path) -> dict[str, float]:
    """Microseconds by kind of request."""
    reader = snapshot(root / "routes.json", _routes(root))
    gateway = Gateway(Settings(), reader, NoAuth(), HostServices(root / "nudge", calls=root / "calls"))
    calls: dict[str, Callable[[], None]] = {
        "plain_us": partial(_respond, gateway, "/model/iris/1/invocations", JSON_HEADERS),
        **{
            f"{name}_us": partial(_respond, gateway, f"/serving-endpoints/{endpoint}/invocations", headers)
            for name, endpoint, headers in (
                ("split", "split", JSON_HEADERS),
                ("split_by_key", "split", KEYED),
                ("limited", "limited", JSON_HEADERS),
                ("shadowed", "shadowed", JSON_HEADERS),
            )
        },
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.thread_time()
            for _ in range(CALLS):
                call()
            taken[name].append((time.thread_time() - started) / CALLS * 1e6)
    return {name: statistics.median(values) for name, values in taken.items()}


def measure_server() -> dict[str, float]:
    """Requests a second through a split over those to a version's URL."""
    with TrackingServer() as server, tempfile.TemporaryDirectory() as root:
        models = Models(Path(root))
        for number in (1, 2):
            register(server.client, "iris", models.path(f"iris-{number}"))
        server.enable("iris")
        server.wait_ready("iris", 1, 2)
        url = f"{server.url}/api/2.0/serving-endpoints"
        entities = [{"name": f"v{number}", "entity_name": "iris", "entity_version": str(number)} for number in (1, 2)]
        shares = [{"served_model_name": name, "traffic_percentage": share} for name, share in (("v1", 90), ("v2", 10))]
        config = {"served_entities": entities, "traffic_config": {"routes": shares}}
        requests.post(url, json={"name": "split", "config": config}, timeout=HTTP_S).raise_for_status()
        state = f"{url}/split"
        eventually(lambda: requests.get(state, timeout=HTTP_S).json()["state"]["ready"] == "READY", within_s=120)
        connection = http.client.HTTPConnection("127.0.0.1", server.port)
        paths = {"plain": "/model/iris/1/invocations", "split": "/serving-endpoints/split/invocations"}
        taken: dict[str, list[float]] = {name: [] for name in paths}
        for _ in range(SERVER_ROUNDS):
            for name, path in paths.items():
                started = time.perf_counter()
                for _ in range(REQUESTS):
                    connection.request("POST", path, BODY, {"Content-Type": "application/json"})
                    response = connection.getresponse()
                    assert response.status == 200, response.read()
                    response.read()
                taken[name].append((time.perf_counter() - started) / REQUESTS)
    median = {name: statistics.median(values) for name, values in taken.items()}
    return {
        **{f"{name}_per_second": 1 / value for name, value in median.items()},
        "split_against_plain": median["plain"] / median["split"],
    }


def _routes(root: Path) -> Routes:
    """A model, and serving endpoints with entities like the model's versions."""
    made = routes(version(1, worker_route(root / "w1")), version(2, worker_route(root / "w2")))
    (model,) = made.endpoints.values()
    split = replace(model, served={"a": "1", "b": "2"}, traffic=(("1", 90), ("2", 10)), models=("iris",))
    limits = replace(split.config, calls_per_minute=10**9, calls_per_minute_per_user=10**9)
    others: list[EndpointRoute] = [
        replace(split, id="e-split", name="split"),
        replace(split, id="e-limited", name="limited", config=limits),
        replace(split, id="e-shadowed", name="shadowed", traffic=(("1", 100), ("2", 0)), shadow=Shadow("2", 20.0)),
    ]
    endpoints, entities = dict(made.endpoints), dict(made.entities)
    for other in others:
        endpoints[serving_key(model.workspace, other.name)] = other
        own = [replace(one, key=one.key._replace(endpoint_id=other.id)) for one in made.entities.values()]
        entities.update({str(one.key): one for one in own})
    return replace(made, endpoints=endpoints, entities=entities)


def _respond(gateway: Gateway, path: str, headers: dict[str, str]) -> None:
    steps = gateway.respond(Head("POST", path, headers))
    step = next(steps)
    try:
        while True:
            step = steps.send(IRIS if isinstance(step, ReadBody) else REPLY)
    except StopIteration as stop:
        assert stop.value.status == 200, stop.value


if __name__ == "__main__":
    main()
