"""Bodies that are made to cost far more than their size: what each costs, and what neighbours notice."""

from __future__ import annotations

import contextlib
import multiprocessing
import re
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import requests
from support.dear import Dear, dear_bodies
from support.models import register
from support.server import StockServer, TrackingServer

from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS

from .load import Figures, Load
from .report import Report, Size
from .world import matches_header, models, scoring, serve, server_processes

_SERVED = ("iris", "unsigned", "tensor")
"""Models that answer at once: with a signature, without one, and for tensors."""

_MB = 1024 * 1024
_SEED = 17
_ENOUGH_S = 2.0
_ENOUGH_TIMES = 10
_NOISE = 1.5
"""What a worker may cost beyond MLflow's own server: two measurements of one thing differ by so much."""


class Cost(NamedTuple):
    """What one body has cost: the time to the answer, and memory of the web worker and of the model's worker."""

    status: int
    took_s: float
    web_bytes: int
    worker_bytes: int

    def __str__(self) -> str:
        memory = f"{self.web_bytes / _MB:.0f} and {self.worker_bytes / _MB:.0f} MB"
        return f"{self.status} after {self.took_s:.2f} s, {memory}"


def dear(report: Report, size: Size) -> None:
    """Bodies made to be dear, by shape and format: bounded time and memory, and others notice little."""
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(TrackingServer(size.server))
        for name in _SERVED:
            register(server.client, name, models().path(name))
            server.enable(name)
        server.wait_ready(_SERVED[-1], 1)
        serve(server, "neighbour", 1)
        stock = Stock()
        stack.callback(stock.close)
        alone, beside = Neighbours(server.port), Neighbours(server.port)
        with alone:
            time.sleep(size.seconds / 4)
        with beside:
            _send_all(report, size, server, stock)
        report.none_failed("neighbours, alone", alone.figures)
        report.none_failed("neighbours, beside", beside.figures)
        ratio = beside.figures.percentile(0.99) / alone.figures.percentile(0.99)
        report.below("neighbours: p99, times that alone", ratio, 1.5, "", size)


class Neighbours:
    """Small requests to another model, from a process of their own: making a large body keeps this process busy."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("fork")
        self._ended, self._results = context.Event(), context.SimpleQueue()
        self._process = context.Process(target=self._send, args=(port,), daemon=True)
        self.figures = Figures()

    def __enter__(self) -> None:
        self._process.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.figures = self._results.get()
        self._process.join()

    def _send(self, port: int) -> None:
        with Load(port, scoring("neighbour/1"), matches_header, rate=20) as load:
            self._ended.wait()
        self._results.put(load.figures)


def _send_all(report: Report, size: Size, server: TrackingServer, stock: Stock) -> None:
    statuses: Counter[int] = Counter()
    dearer = []
    for number, body in enumerate(dear_bodies(_SEED, size.bodies)):
        model = _SERVED[number % len(_SERVED)]
        cost = _cost(server, model, body)
        statuses[cost.status] += 1
        enough_bytes = _ENOUGH_TIMES * len(body.body) + 16 * _MB
        if cost.took_s <= _ENOUGH_S and cost.web_bytes <= enough_bytes and cost.worker_bytes <= enough_bytes:
            continue
        own = stock.cost(model, body)
        about = f"{model}, {body.shape}, {body.form}, {len(body.body) / _MB:.1f} MB: {cost}; MLflow's own server: {own}"
        report.say(about)
        if (
            cost.web_bytes > enough_bytes
            or cost.took_s > max(_ENOUGH_S, _NOISE * own.took_s)
            or cost.worker_bytes > max(enough_bytes, _NOISE * own.worker_bytes)
        ):
            dearer.append(about)
    report.check(f"all are answered with 200 or 400: {dict(statuses)}", statuses.keys() <= {200, 400})
    report.say(f"too dear: {dearer}")
    report.below("bodies that cost more than 10 times their size, 2 s and MLflow", len(dearer), 0, "", size)


def _cost(server: TrackingServer, model: str, body: Dear) -> Cost:
    """Send one body to a server."""
    web = max(server_processes(server), key=lambda process: process.memory_info().rss).pid
    worker = server.workers(model)[0]["pid"]
    with _grown(web) as web_bytes, _grown(worker) as worker_bytes:
        started = time.monotonic()
        answer = requests.post(
            f"{server.url}/model/{model}/1/invocations",
            data=body.body,
            headers={"Content-Type": body.content_type},
            timeout=300,
        )
        took_s = time.monotonic() - started
    return Cost(answer.status_code, took_s, web_bytes[0], worker_bytes[0])


class Stock:
    """MLflow's own scoring server of each model, started when first asked for."""

    def __init__(self) -> None:
        self._servers: dict[str, StockServer] = {}

    def cost(self, model: str, body: Dear) -> Cost:
        """Send one body, in the form in which MLflow takes it."""
        if model not in self._servers:
            self._servers[model] = StockServer(models().path(model))
            self._servers[model].wait_ready()
        sent = INVOCATIONS.reader({"content-type": body.content_type}, "modern")(body.body)
        server = self._servers[model]
        with _grown(server.largest_process()) as grown:
            started = time.monotonic()
            status, _ = server.score(sent.body, sent.content_type, timeout_s=300)
            took_s = time.monotonic() - started
        return Cost(status, took_s, 0, grown[0])

    def close(self) -> None:
        """End all."""
        for server in self._servers.values():
            server.close()


@contextlib.contextmanager
def _grown(pid: int) -> Iterator[list[int]]:
    """By how many bytes a process grew at most, known at the end."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    before, grown = _most(pid), [0]
    try:
        yield grown
    finally:
        grown[0] = _most(pid) - before


def _most(pid: int) -> int:
    """The largest memory of a process since its ``clear_refs``, in bytes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
