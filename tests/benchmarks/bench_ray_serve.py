"""A model on a node of a Ray cluster, by HTTP: ``python tests/benchmarks/bench_ray_serve.py [--rounds 2]``.

Our server with a worker that Ray has placed on another node, and Ray Serve with one replica of the same model and
``@serve.batch``, in turns, in one run, at 1, 8 and 64 connections of wrk. Prints requests in a second and the median
latency of both, and the ratios. Needs ``ray[serve]``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parent.parent))

from comparison.load import ensure_wrk, run_wrk
from support import eventually
from support.models import Models, register
from support.ray_cluster import RayCluster
from support.server import TrackingServer, free_port

HERE = Path(__file__).parent
CONNECTIONS = (1, 8, 64)
SECONDS = 5.0
LONG_S = 300.0


@contextlib.contextmanager
def ours(models: Models) -> Iterator[str]:
    """The address of a model whose worker is on another node than its server."""
    with RayCluster(1) as cluster, TrackingServer(settings=cluster.settings, workers=1) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris", placement="ray", env_manager="local")
        server.wait_ready("iris", 1)
        yield f"{server.url}/model/iris/1/invocations"


@contextlib.contextmanager
def ray_serve(models: Models) -> Iterator[str]:
    """The address of the same model in Ray Serve."""
    root, port = Path(tempfile.mkdtemp(prefix="rs-")), free_port()
    variables = {"APP_MODEL": str(models.path("iris-1")), "APP_PORT": str(port), "APP_TEMP": str(root)}
    variables |= {"APP_MAX_BATCH": "64", "APP_MAX_WAIT_S": "0.002", "APP_ONGOING": "512"}
    app = [sys.executable, str(HERE / "comparison" / "peers" / "apps" / "ray_app.py")]
    log = (root / "log").open("wb")
    process = subprocess.Popen(app, env={**os.environ, **variables}, stdout=log, stderr=log, start_new_session=True)
    try:
        yield f"http://127.0.0.1:{port}/"
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        shutil.rmtree(root, ignore_errors=True)


def measure(url: str, body: bytes) -> dict[int, tuple[float, float]]:
    """Requests in a second and the median latency in ms, by the number of connections."""

    def answers() -> bool:
        with contextlib.suppress(requests.RequestException):
            return requests.post(url, body, headers={"Content-Type": "application/json"}, timeout=30).ok
        return False

    eventually(answers, LONG_S)
    found = {}
    for connections in CONNECTIONS:
        run_wrk(url, body, connections, 1.0, server=[], gateway=[])
        loaded = run_wrk(url, body, connections, SECONDS, server=[], gateway=[])
        assert not loaded.errors, loaded
        found[connections] = loaded.requests_per_s, loaded.p50_ms or 0.0
    return found


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    ensure_wrk()
    root = Path(tempfile.mkdtemp(prefix="mlb-"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = Models(root)
        models.path("iris-1")
    body = json.dumps({"dataframe_split": models.iris.iloc[:1].to_dict(orient="split")}).encode()
    found: dict[str, list[dict[int, tuple[float, float]]]] = {"ours": [], "Ray Serve": []}
    try:
        for _ in range(options.rounds):
            for name, server in (("ours", ours), ("Ray Serve", ray_serve)):
                with server(models) as url:
                    found[name].append(measure(url, body))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    for connections in CONNECTIONS:
        rates = {}
        for name, rounds in found.items():
            rates[name] = statistics.median(one[connections][0] for one in rounds)
            p50 = statistics.median(one[connections][1] for one in rounds)
            print(f"{connections:3} connections, {name:9}: {rates[name]:8.0f} requests/s, p50 {p50:7.2f} ms")
        print(f"{connections:3} connections: throughput x {rates['ours'] / rates['Ray Serve']:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
