"""How many versions a machine holds: ``python tests/benchmarks/bench_density.py [--versions 50] [--json FILE]``.

A real controller and local backend with native workers, and a registry in memory that holds one sklearn model under
many version numbers. Prints the seconds until all are READY (the zygote's start included), the private memory (USS) of
the workers and the zygote, and the seconds from registering one more version to READY. The machine does nothing else,
or the figures say little.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from support.controller import a_model, a_version, an_endpoint
from support.models import Models

from mlflow_serving_plugin.backends.base import WorkerPhase
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.messages import Changed, send_nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryRegistry, MemoryStore

_LONGEST_S = 300.0
_POLL_S = 0.02
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Density:
    """What was measured. Budgets: ``design.md``."""

    versions: int
    cores: int
    load_before: float
    all_ready_s: float
    total_uss_mib: float
    total_pss_mib: float | None
    """With what they share counted once; Linux only."""
    zygote_uss_mib: float
    worker_uss_mib_median: float
    worker_uss_mib_max: float
    one_more_ready_s: list[float]


class Host:
    """A controller that runs, with everything below it in one directory."""

    def __init__(self, root: Path, model: Path) -> None:
        self.paths = StatePaths.create(root / "state")
        settings = Settings(start_timeout_s=_LONGEST_S)
        self.backend = LocalBackend(settings, self.paths)
        self.registry = MemoryRegistry(a_model("iris"))
        deps = ControllerDeps(
            settings=settings,
            paths=self.paths,
            store=MemoryStore(an_endpoint()),
            registry=self.registry,
            backend=self.backend,
            environments=Environments(settings, self.paths.environments),
            download=lambda workspace, name, number, directory: str(shutil.copytree(model, Path(directory) / "files")),
            example=scoring_example,
        )
        self._controller = Controller(deps)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._controller.run, args=(self._stop,))
        self._thread.start()

    def serve(self, versions: int) -> float:
        """Register versions up to this number, and wait until all are READY; seconds."""
        started = time.monotonic()
        self.registry.put(a_model("iris", *(a_version(number) for number in range(1, versions + 1))))
        send_nudge(self.paths.nudges, Changed("default", "iris"))
        while sum(status.phase is WorkerPhase.READY for status in self.backend.observe()) < versions:
            if time.monotonic() - started > _LONGEST_S:
                raise SystemExit(f"not all READY within {_LONGEST_S:g} s; the state is in {self.paths.root}")
            time.sleep(_POLL_S)
        return time.monotonic() - started

    def memory(self) -> tuple[list[Any], list[Any]]:
        """What psutil says of the memory of each worker, and of the zygotes that forked them."""
        workers = [psutil.Process(status.pid) for status in self.backend.observe()]
        zygotes = [psutil.Process(pid) for pid in {worker.ppid() for worker in workers}]
        return [one.memory_full_info() for one in workers], [one.memory_full_info() for one in zygotes]

    def close(self) -> None:
        """End everything."""
        self._stop.set()
        self._controller.wake()
        self._thread.join()
        for status in self.backend.observe():
            self.backend.stop(status.worker_id, at_once=True)
        self.backend.retain(())


def measure(versions: int, further: int) -> Density:
    """One run."""
    load = os.getloadavg()[0]
    root = Path(tempfile.mkdtemp(prefix="mlsd-"))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = Models(root).path("iris")
        host = Host(root, model)
        try:
            all_ready_s = host.serve(versions)
            workers, zygotes = host.memory()
            one_more = [host.serve(versions + number) for number in range(1, further + 1)]
        finally:
            host.close()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    uss = sorted(one.uss / _MIB for one in workers)
    zygote = sum(one.uss for one in zygotes) / _MIB
    pss = [getattr(one, "pss", None) for one in (*workers, *zygotes)]
    return Density(
        versions=versions,
        cores=os.cpu_count() or 1,
        load_before=round(load, 2),
        all_ready_s=round(all_ready_s, 2),
        total_uss_mib=round(sum(uss) + zygote, 1),
        total_pss_mib=None if None in pss else round(sum(pss) / _MIB, 1),
        zygote_uss_mib=round(zygote, 1),
        worker_uss_mib_median=round(uss[len(uss) // 2], 1),
        worker_uss_mib_max=round(uss[-1], 1),
        one_more_ready_s=[round(took, 3) for took in one_more],
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=50)
    parser.add_argument("--further", type=int, default=5, help="versions registered one by one afterwards")
    parser.add_argument("--json", type=Path, help="write the figures to this file as well")
    arguments = parser.parse_args()
    density = measure(arguments.versions, arguments.further)
    for name, figure in asdict(density).items():
        sys.stdout.write(f"{name:24} {figure}\n")
    if arguments.json:
        arguments.json.write_text(json.dumps(asdict(density), indent=2) + "\n")


if __name__ == "__main__":
    main()
