"""What the sandbox costs: ``python tests/benchmarks/bench_sandbox.py [--starts 10] [--rounds 20]``.

Native workers of one sklearn model, with ``sandbox`` off and on, in turns, in one run. Prints for both: seconds from
the start of a worker to READY (the zygote runs already), private memory (USS) of all of a worker's processes, and the
requests that one worker answers in a second, one after another; and the ratio on : off. A loaded machine changes the
seconds and the requests, and the ratio little.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.models import Models

from mlflow_serving_plugin.backends.base import WorkerSpec, WorkerStatus
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import session_members
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings

_MIB = 1024 * 1024
_SANDBOX = ("off", "on")
_ROUND_S = 0.5
_TIMEOUT_S = 60.0


class Host:
    """A backend with workers of one model."""

    def __init__(self, root: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._model = Models(root).path("iris")
        paths = StatePaths.create(root / "state")
        paths.lease.touch()
        self.backend = LocalBackend(Settings(), paths)
        example = scoring_example(self._model)
        assert example is not None
        self._example = example
        settings = WorkerSettings(env_manager="local", request_timeout_s=_TIMEOUT_S)
        log = paths.entity_log("e", "1")
        self._spec = WorkerSpec(EntityKey("e", "1"), "f", self._model, log, settings, example)

    def start(self, sandbox: str) -> tuple[float, WorkerStatus]:
        """Start one more worker; the seconds until it was READY, and the worker."""
        before = {worker.worker_id for worker in self.backend.observe()}
        started = time.perf_counter()
        self.backend.launch(replace(self._spec, settings=replace(self._spec.settings, sandbox=sandbox)))
        took = time.perf_counter() - started
        (worker,) = [worker for worker in self.backend.observe() if worker.worker_id not in before]
        return took, worker

    def requests_per_s(self, connection: FrameConnection) -> float:
        """Requests that a worker answers in a second, one after another."""
        answered, ends = 0, time.perf_counter() + _ROUND_S
        while time.perf_counter() < ends:
            response = connection.call(self._example.content_type, self._example.body, _TIMEOUT_S)
            assert response.status == 200
            answered += 1
        return answered / _ROUND_S

    def close(self) -> None:
        """End all workers and the zygote."""
        for worker in self.backend.observe():
            self.backend.stop(worker.worker_id, at_once=True)
        self.backend.retain(())


def private_mib(worker: WorkerStatus) -> float:
    """USS of all processes of a worker."""
    assert worker.pid is not None
    return sum(psutil.Process(pid).memory_full_info().uss for pid in session_members(worker.pid)) / _MIB


def measure(host: Host, starts: int, rounds: int) -> dict[str, dict[str, float]]:
    """The medians, by ``sandbox``."""
    host.start("off")
    host.start("on")
    took: dict[str, list[float]] = {sandbox: [] for sandbox in _SANDBOX}
    memory: dict[str, list[float]] = {sandbox: [] for sandbox in _SANDBOX}
    rates: dict[str, list[float]] = {sandbox: [] for sandbox in _SANDBOX}
    workers = {}
    for _ in range(starts):
        for sandbox in _SANDBOX:
            seconds, workers[sandbox] = host.start(sandbox)
            took[sandbox].append(seconds)
            memory[sandbox].append(private_mib(workers[sandbox]))
    with contextlib.ExitStack() as stack:
        connections = {
            sandbox: stack.enter_context(contextlib.closing(FrameConnection(worker.address, _TIMEOUT_S)))
            for sandbox, worker in workers.items()
        }
        for number in range(rounds):
            for sandbox in _SANDBOX if number % 2 else reversed(_SANDBOX):
                rates[sandbox].append(host.requests_per_s(connections[sandbox]))
    return {
        sandbox: {
            "start to READY, s": statistics.median(took[sandbox]),
            "private memory, MiB": statistics.median(memory[sandbox]),
            "requests per second": statistics.median(rates[sandbox]),
        }
        for sandbox in _SANDBOX
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="mlss-"))
    host = Host(root)
    try:
        found = measure(host, arguments.starts, arguments.rounds)
    finally:
        host.close()
        shutil.rmtree(root, ignore_errors=True)
    sys.stdout.write(f"{'':24}{'off':>10}{'on':>10}{'on : off':>10}\n")
    for name, off in found["off"].items():
        on = found["on"][name]
        sys.stdout.write(f"{name:24}{off:10.3f}{on:10.3f}{on / off:10.3f}\n")


if __name__ == "__main__":
    main()
