"""What sleep costs: ``python tests/benchmarks/bench_sleeping.py [--models 1000] [--wakes 20] [--json FILE]``.

Two parts. *Control*: a real controller with a registry in memory and so many models, two versions each, all asleep: the
seconds of a tick with nothing to do, of a tick that wakes one version (the first after the start apart) and of reading
the new snapshot in a web worker, and the memory of one version in both. *Wakes*: a real server with iris models: the
seconds from a request for a sleeping version to the answer, of one request, of 64 at once (and the workers started for
them), and of one request for each of 100 models within a second. The machine does nothing else, or the figures say
little.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import eventually
from support.controller import FakeBackend, a_model, a_version, model_files
from support.life import Life
from support.models import Models, register
from support.server import TrackingServer
from support.shared import run_directory

from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.desired import View, desire
from mlflow_serving_plugin.controller.proofs import Proof
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.messages import Wake
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryRegistry, MemoryStore

_TICKS = 50
_CHANGES = 10
_STORM = 64
_CROWD = 100
_LONGEST_S = 600.0

Figures = dict[str, float]


def control(models: int, root: Path) -> Figures:
    """The control plane with so many models, two versions each, all asleep."""
    store, registry = MemoryStore(), MemoryRegistry()
    for number in range(models):
        registry.put(a_model(f"m{number}", a_version(1), a_version(2)))
        config = EndpointConfig(min_replicas=0)
        store.enable("default", f"m{number}", model_created_ms=1, config=config, by=None)
    paths, settings = StatePaths.create(root), Settings()
    view = View({endpoint.id: endpoint for endpoint in store.enabled()}, registry.models)
    wanted = desire(view, settings.request_timeout_s)
    proofs = {str(key): asdict(Proof(one.fingerprint, True, 0, "", "")) for key, one in wanted.items()}
    paths.proofs.write_text(json.dumps(proofs))
    before = psutil.Process().memory_info().rss
    controller = Controller(
        ControllerDeps(
            settings=settings,
            paths=paths,
            store=store,
            registry=registry,
            backend=FakeBackend(),
            environments=Environments(settings, paths.environments),
            download=lambda *arguments: model_files(arguments[-1]),
            example=lambda _: None,
        )
    )
    reader = SnapshotReader(paths.routes, check_every_s=0)

    def ticked(*nudges: Wake) -> float:
        return _took(lambda: controller.tick(list(nudges), time.monotonic()))

    def all_published() -> bool:
        ticked()
        return len(reader.current().entities) == len(wanted)

    eventually(all_published, within_s=_LONGEST_S)
    memory = psutil.Process().memory_info().rss - before
    idle = [ticked() for _ in range(_TICKS)]
    changes, reads = [], []
    # The first one after the start makes the text of all versions; later ones make that of what has changed.
    for key in list(wanted)[:_CHANGES]:
        changes.append(ticked(Wake(key.endpoint_id, key.name)))
        reads.append(_took(reader.current))
    return {
        "tick_idle_ms": statistics.median(idle) * 1e3,
        "tick_first_change_ms": changes[0] * 1e3,
        "tick_change_ms": statistics.median(changes[1:]) * 1e3,
        "read_change_ms": statistics.median(reads[1:]) * 1e3,
        "kilobytes_per_version": memory / len(wanted) / 1000,
    }


def wakes(count: int, models: Models) -> Figures:
    """Wakes on a real server."""
    answers: list[bool] = []
    with TrackingServer("uvicorn", settings={"min_replicas": 0, "idle_timeout_s": 1}) as server:
        life = Life(server, models, "iris")
        life.register(1)
        server.enable("iris")
        # Its own prediction, with which it compares the server's, takes long the first time.
        models.iris_predictions(1, life.rows)
        single = []
        for _ in range(count):
            _until_asleep(server, "iris")
            single.append(_took(lambda: answers.append(_answered(life))))
        _until_asleep(server, "iris")
        with ThreadPoolExecutor(_STORM) as pool:
            storm = _took(lambda: answers.extend(pool.map(_answered, [life] * _STORM)))
            started = len(server.workers("iris"))
        crowd = [Life(server, models, f"crowd-{number}") for number in range(_CROWD)]
        for one in crowd:
            register(server.client, one.name, models.path("iris-1"))
            server.enable(one.name)
        for one in crowd:
            _until_asleep(server, one.name)
        with ThreadPoolExecutor(_CROWD) as pool:
            all_of_them = _took(lambda: answers.extend(pool.map(_answered, crowd)))
    return {
        "wake_median_s": statistics.median(single),
        "wake_max_s": max(single),
        f"wake_{_STORM}_requests_s": storm,
        f"wake_{_STORM}_workers": started,
        f"wake_{_CROWD}_models_s": all_of_them,
        "requests_failed": answers.count(False),
    }


def _answered(life: Life) -> bool:
    return life.answer("/1") == (200, 1)


def _until_asleep(server: TrackingServer, name: str) -> None:
    def asleep() -> bool:
        entities = server.entities(name)
        return bool(entities) and all((e["state"], e["workers"]) == ("ASLEEP", []) for e in entities.values())

    eventually(asleep, within_s=_LONGEST_S, tail=server.tail)


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and write the figures to a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000, help="of the control plane, two versions each; 0: skip")
    parser.add_argument("--wakes", type=int, default=20, help="wakes of one version; 0: skip the real server")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    root = Path(tempfile.mkdtemp(prefix="mls-"))
    try:
        figures = control(options.models, root) if options.models else {}
        figures |= wakes(options.wakes, Models(run_directory() / "models")) if options.wakes else {}
    finally:
        shutil.rmtree(root)
    for name, figure in figures.items():
        print(f"{name:28} {figure:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
