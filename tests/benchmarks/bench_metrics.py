"""Measure what counting adds to a request, and what a scrape costs.

``python tests/benchmarks/bench_metrics.py [--json]`` prints a table, or JSON.

- *request*: the gateway's core for one row of iris, its steps answered at once, with metrics and with a double that
  counts nothing, in turn, so that both meet the same machine. *counting* alone is one call of ``Metrics.request``.
- *scrape*: reading and summing the files of 4 web workers and 100 model workers, 100 versions in 3 statuses each.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker_route

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.messages import Head, ReadBody
from mlflow_serving_plugin.links.base import WorkerReply
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, Counts, Histogram, key_of

ROUNDS, CALLS = 60, 1000
VERSIONS, STATUSES, WEB_WORKERS = 100, (200, 400, 503), 4
HEAD = Head("POST", "/model/iris/1/invocations", {"content-type": "application/json"})
REPLY = WorkerReply(*PREDICTED, (2, 3, 4))


class NoMetrics(Metrics):
    """Counts nothing."""

    def request(self, *_: object) -> None:
        pass

    def touch(self) -> None:
        pass


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mls-"))
    try:
        results = {**measure_requests(root), **measure_scrape(root / "scraped")}
    finally:
        shutil.rmtree(root, ignore_errors=True)
    table = "\n".join(f"{name.replace('_', ' '):36} {value:9.2f}" for name, value in results.items())
    print(json.dumps(results, indent=2) if arguments.json else table)


def measure_requests(root: Path) -> dict[str, float]:
    """Microseconds of processor time a request, medians of many rounds in turn."""
    metrics = Metrics(root / "metrics")
    with_metrics, without = _gateway(root, metrics), _gateway(root, NoMetrics(None))
    calls: dict[str, Callable[[], None]] = {
        "request_without_metrics_us": lambda: _respond(without),
        "request_with_metrics_us": lambda: _respond(with_metrics),
        "counting_us": lambda: metrics.request("e1", 1, 200, 0.0012, 0.0003),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(ROUNDS):
        for name, call in calls.items():
            started = time.thread_time()
            for _ in range(CALLS):
                call()
            taken[name].append((time.thread_time() - started) / CALLS * 1e6)
    median = {name: statistics.median(values) for name, values in taken.items()}
    added = median["request_with_metrics_us"] - median["request_without_metrics_us"]
    return {**median, "added_to_a_request_us": added}


def _gateway(root: Path, metrics: Metrics) -> Gateway:
    published = routes(version(1, worker_route(root / "w1")))
    return Gateway(
        Settings(), snapshot(root / "routes.json", published), NoAuth(), HostServices(root / "nudge", metrics=metrics)
    )


def _respond(gateway: Gateway) -> None:
    steps = gateway.respond(HEAD)
    step = next(steps)
    try:
        while True:
            step = steps.send(IRIS if isinstance(step, ReadBody) else REPLY)
    except StopIteration as stop:
        assert stop.value.status == 200, stop.value


def measure_scrape(directory: Path) -> dict[str, float]:
    """Milliseconds, median; and the largest file in kilobytes."""
    web = [Metrics(directory) for _ in range(WEB_WORKERS)]
    workers = [Counts(str(directory / f"worker-{number}.counts")) for number in range(VERSIONS)]
    for number, counts in enumerate(workers):
        Histogram(counts, key_of(BATCH_ROWS, f"endpoint-{number:032}", 1), BATCH_ROWS_BOUNDS).observe(7)
        counts.flush()
        for metrics in web:
            for status in STATUSES:
                metrics.request(f"endpoint-{number:032}", 1, status, 0.01, 0.001)
    for metrics in web:
        metrics.flush()
    taken = []
    for _ in range(30):
        started = time.perf_counter()
        read_totals(directory)
        taken.append((time.perf_counter() - started) * 1e3)
    largest = max(path.stat().st_size for path in directory.glob("*.counts"))
    return {"scrape_of_100_versions_ms": statistics.median(taken), "largest_file_kb": largest / 1000}


if __name__ == "__main__":
    main()
