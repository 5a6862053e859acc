"""Measure what the history of a host costs: the processor time of a step, reading, and the size of the file.

``python tests/benchmarks/bench_history.py [--versions 2000] [--busy 2000] [--json]``

- *step*: what the controller does every ten seconds, with the files of 2 web workers and a model worker for each
  version, of which ``--busy`` are asked in each step. *share of a core* is that over ten seconds, with the part of each
  fifth minute that making steps of five minutes takes.
- *overview*: what the overview of all endpoints reads, once a step; *endpoint*: one endpoint's last hour.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from support.api import worker
from support.routes import an_entity

from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.history import HistoryReader, Range
from mlflow_serving_plugin.metrics.recorder import Recorder
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, BATCH_ROWS_BOUNDS, WORKER_CPU, Counts, Histogram, key_of

STEPS = 35
"""More than five minutes."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=2000)
    parser.add_argument("--busy", type=int, default=2000, help="versions that are asked in each step")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mls-"))
    try:
        results = measure(root, arguments.versions, arguments.busy, arguments.steps)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    table = "\n".join(f"{name.replace('_', ' '):36} {value:9.2f}" for name, value in results.items())
    print(json.dumps(results, indent=2) if arguments.json else table)


def measure(root: Path, versions: int, busy: int, steps: int) -> dict[str, float]:
    """Milliseconds of processor time unless the name says otherwise."""
    now = int(time.time()) // 300 * 300
    web = [Metrics(root / "metrics") for _ in range(2)]
    keys = [(f"endpoint-{number:023}", "1") for number in range(versions)]
    entities = [an_entity(1, endpoint_id=key[0], workers=(worker(),)) for key in keys]
    routes = Routes(written_ms=1, entities={str(entity.key): entity for entity in entities})
    workers = [_worker(root / "metrics" / f"worker-{number}.counts", key) for number, key in enumerate(keys)]
    recorder = Recorder(root / "metrics", root / "history.db", 2**30, clock=lambda: now)
    taken: list[float] = []
    for number in range(steps):
        for one in range(busy):
            key = keys[(number + one) % versions]
            for metrics in web:
                metrics.request(*key, 200, 0.003 + one / 1000, 0.001)
            counts, rows, cpu = workers[(number + one) % versions]
            rows.observe(3)
            counts.values[cpu] += 0.01
            counts.flush()
        for metrics in web:
            metrics.flush()
        now += 10
        started = time.thread_time()
        recorder.record(routes)
        taken.append((time.thread_time() - started) * 1e3)
    # The first step tells all gauges.
    reader = HistoryReader(root / "history.db", lambda: now)
    return {
        "step_median_ms": statistics.median(taken[1:]),
        "step_with_five_minutes_ms": max(taken[1:]),
        "share_of_a_core_percent": statistics.mean(taken[1:]) / 10_000 * 100,
        "overview_ms": _thread_ms(lambda: [reader.hour().lately([key]) for key in keys[:1]]),
        "endpoint_ms": _thread_ms(lambda: reader.read(keys[0][0], Range(now - 3600, now, 10))),
        "file_kb_a_step": (root / "history.db").stat().st_size / 1000 / steps,
    }


def _worker(path: Path, key: tuple[str, str]) -> tuple[Counts, Histogram, int]:
    counts = Counts(str(path))
    rows = Histogram(counts, key_of(BATCH_ROWS, *key), BATCH_ROWS_BOUNDS)
    return counts, rows, counts.allot(key_of(WORKER_CPU, *key), 1)


def _thread_ms(work: object) -> float:
    started = time.thread_time()
    work()  # type: ignore[operator]
    return (time.thread_time() - started) * 1e3


if __name__ == "__main__":
    main()
