"""How workers follow the load: ``python tests/benchmarks/bench_autoscaling.py [--busy 30] [--rounds 9] [--json FILE]``.

*Load*: a real server and a model that takes 20 ms for each request, one request at a time, with ``max_replicas`` 4. 8
connections that each send one request after the other, then 64, then 8 again: the 99th percentile of the latencies
while all is quiet, the seconds from each step until the percentile stays below twice its quiet value, and the seconds
from the last step until the version has one worker again. *Hot path*: two servers, one where versions may sleep and
have up to 4 workers, one where nothing does, and one row of iris over one connection to each in turn: requests a second
with both switched on over those without. The machine does nothing else, or the figures say little.
"""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from support import eventually
from support.models import IRIS_COLUMNS, Models, register
from support.server import TrackingServer
from support.shared import run_directory

_FEW, _MANY = 8, 64
_MODEL_S = 0.02
_WINDOW_S = 2.0
_DOWN_S = 300.0
_BODY = json.dumps({"dataframe_split": {"columns": ["seconds"], "data": [[_MODEL_S]]}}).encode()
_IRIS = json.dumps({"dataframe_split": {"columns": IRIS_COLUMNS, "data": [[5.1, 3.5, 1.4, 0.2]]}}).encode()
_REQUESTS = 1000
_HEADERS = {"Content-Type": "application/json"}

Figures = dict[str, float]


class Connections:
    """Clients that keep a connection each. ``answers``: when each answer came, and its latency, in seconds."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self.answers: list[tuple[float, float]] = []
        self.failed = 0

    @contextmanager
    def sending(self, count: int) -> Iterator[None]:
        """So many connections send."""
        stop = threading.Event()
        threads = [threading.Thread(target=self._send, args=(stop,), daemon=True) for _ in range(count)]
        for thread in threads:
            thread.start()
        yield
        stop.set()
        for thread in threads:
            thread.join()

    def p99(self, begin: float, end: float) -> float:
        """Of the answers that came between two times, in seconds."""
        found = sorted(latency for at, latency in self.answers if begin <= at < end)
        return found[min(len(found) - 1, int(len(found) * 0.99))] if found else float("inf")

    def settled_s(self, begin: float, end: float, limit_s: float) -> float:
        """The seconds after ``begin`` from which on no window up to ``end`` has its percentile above the limit."""
        at = end - _WINDOW_S
        while at >= begin and self.p99(at, at + _WINDOW_S) < limit_s:
            at -= 0.25
        return max(0.0, at + 0.25 - begin)

    def _send(self, stop: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        while not stop.is_set():
            began = time.monotonic()
            connection.request("POST", self._path, _BODY, _HEADERS)
            response = connection.getresponse()
            response.read()
            self.failed += response.status != 200
            self.answers.append((time.monotonic(), time.monotonic() - began))
        connection.close()


def measure(busy_s: float, models: Models) -> Figures:
    """8 connections, 64, 8."""
    with TrackingServer("uvicorn") as server:
        register(server.client, "slow", models.path("slow"))
        server.enable("slow", max_replicas=4, max_concurrency=1)
        server.wait_ready("slow", 1)
        load = Connections(server.port, "/model/slow/1/invocations")
        few, many = (lambda: load.sending(_FEW)), (lambda: load.sending(_MANY))
        with few():
            time.sleep(3 * _WINDOW_S)
            began = time.monotonic()
            time.sleep(busy_s)
            quiet_s = load.p99(began, time.monotonic())
        up = time.monotonic()
        with many():
            time.sleep(busy_s)
            workers = len(server.workers("slow"))
            down = time.monotonic()
        with few():
            time.sleep(busy_s)
            after = time.monotonic()
            eventually(lambda: len(server.workers("slow")) == 1, within_s=_DOWN_S, tail=server.tail)
            back_s = time.monotonic() - down
    return {
        "quiet_p99_ms": quiet_s * 1e3,
        "busy_p99_ms": load.p99(down - busy_s / 3, down) * 1e3,
        "busy_workers": workers,
        "below_twice_after_up_s": load.settled_s(up, down, 2 * quiet_s),
        "below_twice_after_down_s": load.settled_s(down, after, 2 * quiet_s),
        "one_worker_after_s": back_s,
        "requests": len(load.answers),
        "requests_failed": load.failed,
    }


def hot_path(rounds: int, models: Models) -> Figures:
    """Requests a second with autoscaling and sleep switched on, over those without."""
    settings = {"off": {}, "on": {"min_replicas": 0, "max_replicas": 4, "idle_timeout_s": 3600}}
    rates: dict[str, list[float]] = {name: [] for name in settings}
    with ExitStack() as stack:
        ports = {}
        for name, chosen in settings.items():
            server = stack.enter_context(TrackingServer("uvicorn", settings=chosen))
            register(server.client, "iris", models.path("iris-1"))
            server.enable("iris")
            server.wait_ready("iris", 1)
            ports[name] = server.port
            _per_second(server.port)
        for _ in range(rounds):
            for name, port in ports.items():
                rates[name].append(_per_second(port))
    median = {name: statistics.median(found) for name, found in rates.items()}
    return {
        "hot_path_off_per_s": median["off"],
        "hot_path_on_per_s": median["on"],
        "hot_path_ratio": median["on"] / median["off"],
    }


def _per_second(port: int) -> float:
    # A new one each time: a server closes a connection that is idle for long.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    for _ in range(_REQUESTS):
        connection.request("POST", "/model/iris/1/invocations", _IRIS, _HEADERS)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        response.read()
    took = time.perf_counter() - began
    connection.close()
    return _REQUESTS / took


def _print(figures: Figures) -> None:
    for name, figure in figures.items():
        print(f"{name:28} {figure:10.3f}", flush=True)


def main() -> None:
    """Measure, print, and write the figures to a file if asked to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--busy", type=float, default=30.0, help="seconds of each part of the load; 0: skip")
    parser.add_argument("--rounds", type=int, default=9, help="of the hot path; 0: skip")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    models = Models(run_directory() / "models")
    figures = measure(options.busy, models) if options.busy else {}
    _print(figures)
    if options.rounds:
        _print(found := hot_path(options.rounds, models))
        figures |= found
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
