"""What an environment of its own costs: ``python tests/benchmarks/bench_environments.py``.

A real tracking server; models that pin MLflow 2.22, built by uv. Times from registering to READY, by the snapshot that
the gateway reads: the first version (its environment is built), then further ones with the same requirements. Also the
private memory of each further version's worker. uv's cache makes the difference between the two first figures; the
second server builds the same environment with all packages cached.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.models import register
from support.pinned import pinned
from support.server import TrackingServer

FURTHER = 5
LONGEST_S = 900.0


def main() -> None:
    """Measure and print."""
    model = pinned("mlflow-2")
    for cache in ("fresh state directory, uv's cache as it was", "fresh state directory, all packages in uv's cache"):
        with TrackingServer("uvicorn") as server:
            server.client.create_registered_model("pinned")
            server.enable("pinned")
            first, *further = [_ready_s(server, model, number) for number in range(1, FURTHER + 2)]
            memory = [psutil.Process(worker["pid"]).memory_full_info().uss for worker in server.workers("pinned")]
        print(f"{cache}: first version READY in {first:.1f} s,")
        print(
            f"  {FURTHER} further ones in {statistics.median(further):.2f} s each (median; {max(further):.2f} at most),"
        )
        print(f"  {statistics.median(memory) / 1e6:.0f} MB private memory a worker (median)")


def _ready_s(server: TrackingServer, model: Path, number: int) -> float:
    register(server.client, "pinned", model)
    began = time.monotonic()
    while True:
        version = server.entities("pinned").get(str(number), {"state": ""})
        if version["state"] == "READY":
            return time.monotonic() - began
        if version["state"] == "FAILED" or time.monotonic() - began > LONGEST_S:
            raise SystemExit(f"{version}\n{server.tail()}")
        time.sleep(0.01)


if __name__ == "__main__":
    main()
