"""How fast each shape of model is: ``python tests/benchmarks/shapes.py [--quick] [--shapes iris,custom]``.

Each shape is asked by wrk through the tracking server, and at ``mlflow models serve`` called directly, in one run; the
answers to the same body must be equal, byte for byte. The model's own time is taken in this process: the call of the
model with the value that MLflow builds from the body's input. Columns of the table:

- requests per second of both, and the ratio;
- ``model``: milliseconds of processor time of the model alone, one request after another;
- ``CPU``: milliseconds of processor time per request, of the web worker and the model's worker together;
- ``overhead``: CPU less the model's; a dash where the worker batches, and one call of the model answers many requests;
- ``of the limit``: requests per second times the seconds of the model alone, by the clock. 100 % is a core that does
  nothing but run the model; batching goes beyond that.

Needs wrk. A loaded machine changes the figures, and the ratio little.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlflow
import psutil
import requests

sys.path.insert(0, str(Path(__file__).parent.parent))

from comparison.launch import Launched, own_python
from comparison.load import ensure_wrk, run_wrk
from comparison.shapes import SHAPES, Shape
from support import eventually
from support.models import register
from support.server import TrackingServer

_MODEL_S = 0.3
_WARM_UP_S = 1.0


@dataclass(frozen=True)
class Row:
    """What was measured of a shape. Times in milliseconds, of one request."""

    shape: str
    stock_per_s: float
    ours_per_s: float
    ratio: float
    model_ms: float
    model_wall_ms: float
    cpu_ms: float
    gateway_cpu_ms: float
    overhead_ms: float | None
    batched: bool
    of_the_limit: float
    equal: bool
    errors: int


def model_ms(path: Path, value: Any) -> tuple[float, float]:
    """The milliseconds of the model alone, with the value that MLflow hands to it: of processor time, and by the clock.

    The processor time is that of all threads, as a worker's is.
    """
    model = mlflow.pyfunc.load_model(str(path))
    handed: list[tuple[Any, Any]] = []
    predict = model._predict_fn

    def listen(data: Any, params: Any = None) -> Any:
        handed.append((data, params))
        return predict(data, params=params)

    model._predict_fn = listen
    model.predict(value)
    (data, params), calls, began, worked = handed[-1], 0, time.perf_counter(), time.process_time()
    while (took := time.perf_counter() - began) < _MODEL_S:
        predict(data, params=params)
        calls += 1
    return 1000 * (time.process_time() - worked) / calls, 1000 * took / calls


@contextlib.contextmanager
def stock_server(path: Path) -> Iterator[str]:
    """``mlflow models serve``: the URL that scores."""
    launched = Launched()
    try:
        command = [str(own_python()), "-m", "mlflow", "models", "serve", "--model-uri", str(path)]
        command += ["--host", "127.0.0.1", "--port", str(launched.port), "--env-manager", "local", "--workers", "1"]
        launched.start(command, {}, own_python())
        launched.wait_until(lambda: _answers(f"http://127.0.0.1:{launched.port}/ping"))
        yield f"http://127.0.0.1:{launched.port}/invocations"
    finally:
        launched.close()


def _answers(url: str) -> bool:
    with contextlib.suppress(requests.RequestException):
        return requests.get(url, timeout=5).status_code == 200
    return False


class Bench:
    """A tracking server with every shape's model, and what is asked of them."""

    def __init__(self, server: TrackingServer, root: Path, connections: int, seconds: float) -> None:
        self._server = server
        self._root = root
        self._connections = connections
        self._seconds = seconds

    def measure(self, number: int, shape: Shape) -> Row:
        """One shape, on both servers."""
        name, path = f"shape-{number}", self._root / f"shape{number}"
        value, body = shape.save(path)
        alone, alone_wall = model_ms(path, value)
        register(self._server.client, name, path)
        self._server.enable(name, env_manager="local")
        self._server.wait_ready(name, 1)
        url = f"{self._server.url}/model/{name}/1/invocations"
        workers = [psutil.Process(worker["pid"]) for worker in self._server.workers(name)]
        gateway = _listeners(self._server)
        ours_said = self._ask(url, body, shape)
        serving = _with_children(workers)
        ours = self._load(url, body, shape, server=[*gateway, *serving], gateway=gateway)
        # Once the load is over: a check of a batch may have ended batching meanwhile.
        batched = any(entity["note"].startswith("Batching on") for entity in self._server.entities(name).values())
        self._server.api("POST", "disable", registered_model_name=name)
        eventually(lambda: not any(process.is_running() for process in serving), tail=self._server.tail)
        with stock_server(path) as stock_url:
            stock_said = self._ask(stock_url, body, shape)
            stock = self._load(stock_url, body, shape, server=[], gateway=[])
        return Row(
            shape=shape.name,
            stock_per_s=stock.requests_per_s,
            ours_per_s=ours.requests_per_s,
            ratio=ours.requests_per_s / max(stock.requests_per_s, 1e-9),
            model_ms=alone,
            model_wall_ms=alone_wall,
            cpu_ms=ours.cpu_ms or 0.0,
            gateway_cpu_ms=ours.gateway_cpu_ms or 0.0,
            overhead_ms=None if batched or ours.cpu_ms is None else ours.cpu_ms - alone,
            batched=batched,
            of_the_limit=ours.requests_per_s * alone_wall / 1000,
            equal=ours_said == stock_said,
            errors=ours.errors + stock.errors,
        )

    def _ask(self, url: str, body: bytes, shape: Shape) -> tuple[int, bytes]:
        answer = requests.post(url, data=body, headers={"Content-Type": shape.content_type}, timeout=120)
        return answer.status_code, answer.content

    def _load(self, url: str, body: bytes, shape: Shape, **processes: Any) -> Any:
        for seconds in (_WARM_UP_S, self._seconds):
            done = run_wrk(url, body, self._connections, seconds, content_type=shape.content_type, **processes)
        return done


def _listeners(server: TrackingServer) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(c.laddr.port == server.port and c.status == "LISTEN" for c in process.net_connections("tcp")):
                found.append(process)
    return found


def _with_children(processes: list[psutil.Process]) -> list[psutil.Process]:
    return list(dict.fromkeys(one for top in processes for one in (top, *top.children(recursive=True))))


def _line(row: Row) -> str:
    overhead = "-" if row.overhead_ms is None else f"{row.overhead_ms:.2f}"
    remark = ("" if row.equal else " **answers differ**") + (f" **{row.errors} errors**" if row.errors else "")
    return (
        f"| {row.shape}{remark} | {row.stock_per_s:,.0f} | {row.ours_per_s:,.0f} | **{row.ratio:.1f} x** "
        f"| {row.model_ms:.2f} | {row.cpu_ms:.2f} ({row.gateway_cpu_ms:.2f}) | {overhead} | {row.of_the_limit:.0%} |"
    )


_HEAD = """\
| shape | stock /s | this /s | ratio | model ms | CPU ms (of it the web worker) | overhead ms | of the limit |
|---|---|---|---|---|---|---|---|"""


def main() -> int:
    """The command; 1 when an answer differs or a request failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="loads of 2 s instead of 5: to try things out")
    parser.add_argument("--shapes", default="", help="only shapes whose name holds one of these words, by comma")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--json", type=Path, help="where everything that was measured is written")
    arguments = parser.parse_args()
    words = [word.strip().lower() for word in arguments.shapes.split(",") if word.strip()]
    chosen = [shape for shape in SHAPES if not words or any(word in shape.name.lower() for word in words)]
    if not chosen:
        parser.error(f"no shape has one of these words in its name: {', '.join(words)}")
    ensure_wrk()
    warnings.simplefilter("ignore")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    root, rows = Path(tempfile.mkdtemp(prefix="mlsh-")), []
    sys.stdout.write(f"{_HEAD}\n")
    try:
        with TrackingServer() as server:
            bench = Bench(server, root, arguments.connections, 2 if arguments.quick else 5)
            for number, shape in enumerate(chosen):
                rows.append(bench.measure(number, shape))
                sys.stdout.write(f"{_line(rows[-1])}\n")
                sys.stdout.flush()
    finally:
        shutil.rmtree(root, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    return 0 if all(row.equal and not row.errors for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
