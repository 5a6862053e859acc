"""What many models cost: ``python tests/benchmarks/bench_size.py [--models 1000] [--starts 3] [--json FILE]``.

A real server on SQLite with one model of two versions, and then with so many models, each with two versions, all
enabled and asleep: the seconds from the server's start to the first answer (of a version that the request wakes), the
controller's tick with nothing to do, the time from a change in the registry until the gateway knows of it, the replies
of ``list`` and of the overview, and the memory of the server's processes for each further version. The machine does
nothing else, or the figures say little.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import requests
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import eventually
from support.life import Life
from support.metrics import scrape
from support.models import Models
from support.server import TrackingServer
from support.shared import run_directory

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.store.database import open_database
from mlflow_serving_plugin.store.endpoints import Store

_FIRST = "m0"
_LONGEST_S = 300.0
_IDLE_S = 20.0
_TICK = "controller_tick_duration_seconds"

Figures = dict[str, float]


def measure(models: int, starts: int) -> Figures:
    """The figures, those of one model first."""
    made = Models(run_directory() / "models")
    with TrackingServer("uvicorn", settings={"min_replicas": 0, "idle_timeout_s": 600}) as server:
        life = Life(server, made, _FIRST)
        life.register(1)
        first = life.client.get_model_version(_FIRST, "1")
        life.client.create_model_version(_FIRST, first.source, first.run_id)
        server.enable(_FIRST)
        server.wait_ready(_FIRST, 1, 2)
        server.stop()
        one = _lives(server, life, starts)
        _multiply(server, models)
        many = _lives(server, life, starts)
        figures = {f"one_{name}": figure for name, figure in one.items()}
        figures |= {f"many_{name}": figure for name, figure in many.items()}
        figures["start_ratio"] = many["start_to_answer_s"] / one["start_to_answer_s"]
        versions = 2 * (models - 1)
        figures["kilobytes_per_version"] = (many["memory_mb"] - one["memory_mb"]) * 1000 / versions
    return figures


def _multiply(server: TrackingServer, models: int) -> None:
    """Register and enable further models, as if all their versions had been served before."""
    registry = SqlAlchemyStore(f"sqlite:///{server.root}/mlflow.db")
    engine = open_database(f"sqlite:///{server.root}/mlflow.db")
    store = Store(engine)
    (first,) = store.enabled()
    source = registry.get_model_version(_FIRST, 1).source
    proofs = json.loads((server.state / "proofs.json").read_text())
    for number in range(1, models):
        name = f"m{number}"
        created = registry.create_registered_model(name).creation_timestamp
        for _ in range(2):
            registry.create_model_version(name, source)
        endpoint = store.enable("default", name, model_created_ms=created, config=EndpointConfig(), by=None)
        shutil.copytree(server.state / "models" / first.id, server.state / "models" / endpoint.id)
        # The same files and the same configuration have the same fingerprint.
        proofs |= {f"{endpoint.id}/{version}": proofs[f"{first.id}/{version}"] for version in (1, 2)}
    (server.state / "proofs.json").write_text(json.dumps(proofs))
    engine.dispose()


def _lives(server: TrackingServer, life: Life, starts: int) -> Figures:
    took = []
    for number in range(starts):
        if number:
            server.stop()
        took.append(_took(lambda: _start_and_ask(server, life)))
    names = requests.get(f"{server.url}/api/2.0/mlflow/endpoints/list", timeout=60).json()["endpoints"]
    last = names[-1]["registered_model_name"]
    figures = {"start_to_answer_s": statistics.median(took), "change_to_gateway_s": _change(server, life, last)}
    # The files of versions that sleep are read in the first seconds.
    eventually(lambda: all(e["model_dir"] for e in server.routes()["entities"].values()), within_s=_LONGEST_S)
    count, seconds = _ticks(server)
    time.sleep(_IDLE_S)
    later, seconds_later = _ticks(server)
    figures["tick_ms"] = (seconds_later - seconds) / (later - count) * 1000
    for name in ("list", "list-overviews"):
        url = f"{server.url}/ajax-api/2.0/mlflow/endpoints/{name}"
        replies = [_took(lambda url=url: requests.get(url, timeout=60).raise_for_status()) for _ in range(5)]
        figures[f"{name.replace('-', '_')}_ms"] = statistics.median(replies) * 1000
    figures["memory_mb"] = sum(process.memory_full_info().uss for process in server.processes()) / 1e6
    server.stop()
    return figures


def _start_and_ask(server: TrackingServer, life: Life) -> None:
    server._launch()

    def answered() -> bool:
        try:
            return life.answer("/1") == (200, 1)
        except (requests.RequestException, AssertionError):
            return False

    while not answered():
        time.sleep(0.02)


def _change(server: TrackingServer, life: Life, name: str) -> float:
    """Median seconds from MLflow's answer to a new alias until the gateway finds the version by the alias."""
    took = []
    for number in range(5):
        life.client.set_registered_model_alias(name, f"a{number}", "1")
        url = f"{server.url}/model/{name}@a{number}/ping"
        took.append(_took(lambda url=url: _until(lambda: requests.get(url, timeout=60).status_code == 200)))
    return statistics.median(took)


def _until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.002)


def _ticks(server: TrackingServer) -> tuple[float, float]:
    found = scrape(server)
    return found[f"{_TICK}_count",], found[f"{_TICK}_sum",]


def _took(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    """Measure, print, and write the figures to a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=1000, help="of two versions each")
    parser.add_argument("--starts", type=int, default=3, help="of the server, with one model and with all")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    figures = measure(options.models, options.starts)
    for name, figure in figures.items():
        print(f"{name:28} {figure:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
