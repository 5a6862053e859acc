"""More than the server can do: slow models, slow clients, large bodies, too many at once."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator

import psutil
from support.models import IRIS_COLUMNS, register
from support.server import TrackingServer

from .client import Request, Response
from .load import Check, Load
from .report import Report, Size
from .world import BODY, ROW, matches_header, models, scoring, server_processes, serving

_CLIENTS = 256
_BODY_TIMEOUT_S = 2.0
_MB = 1024 * 1024
_SEARCH = Request("/api/2.0/mlflow/registered-models/search?max_results=10", method="GET")


def slow_model(report: Report, size: Size) -> None:
    """256 connections on a model that takes a second: another model and MLflow's own API are as quick as before."""
    with serving(1) as server:
        _serve_slow(server)
        idle = _probe(server, size.seconds / 3)
        sleepy = Request("/model/slow/1/invocations", _sleep(1.0))
        with Load(server.port, lambda _: sleepy, clients=_CLIENTS) as slow:
            time.sleep(2.0)
            busy = _probe(server, size.seconds / 3)
        report.none_failed("the slow model", slow.figures)
        for name, before, during in (
            ("iris", idle[0].figures, busy[0].figures),
            ("search", idle[1].figures, busy[1].figures),
        ):
            report.none_failed(f"{name}, idle", before)
            report.none_failed(f"{name}, beside", during)
            report.below(
                f"{name}: p99 {during.percentile(0.99):.1f} ms beside, {before.percentile(0.99):.1f} ms idle; ratio",
                during.percentile(0.99) / before.percentile(0.99),
                2.0,
                "",
                size,
            )


def _serve_slow(server: TrackingServer) -> None:
    register(server.client, "slow", models().path("slow"))
    server.enable("slow")
    server.wait_ready("slow", 1)


def _sleep(seconds: float) -> bytes:
    return json.dumps({"dataframe_split": {"columns": ["seconds"], "data": [[seconds]]}}).encode()


def _probe(server: TrackingServer, seconds: float) -> tuple[Load, Load]:
    with (
        Load(server.port, scoring("iris/1"), matches_header, rate=50) as iris,
        Load(server.port, lambda _: _SEARCH, rate=5) as search,
    ):
        time.sleep(seconds)
    return iris, search


def full_queue(report: Report, size: Size) -> None:
    """More requests than a version's queue holds: the rest get 429 and when to try again, and nobody else is hurt."""
    with serving(1, settings={"max_in_flight": 16}) as server:
        _serve_slow(server)
        counts: Counter[int] = Counter()
        sleepy = Request("/model/slow/1/invocations", _sleep(1.0))
        with (
            Load(server.port, lambda _: sleepy, _counting(counts, 200, 429), clients=128) as slow,
            Load(server.port, scoring("iris/1"), matches_header, rate=50) as iris,
        ):
            time.sleep(size.seconds / 4)
        report.none_failed("128 clients, a queue of 16", slow.figures)
        report.say(f"answers: {dict(counts)}")
        report.check("both served and refused", counts[200] > 0 and counts[429] > 0)
        report.none_failed("another model", iris.figures)


def _counting(counts: Counter[int], *allowed: int) -> Check:
    def check(request: Request, response: Response) -> str | None:
        counts[response.status] += 1
        if response.status not in allowed:
            return f"{response.status} {response.body[:200]!r}"
        if response.status == 429 and "retry-after" not in response.headers:
            return "429 without Retry-After"
        return None

    return check


def large_bodies(report: Report, size: Size) -> None:
    """64 clients send 16 MB each at once: memory stays bounded, some are refused with 429, small requests go on."""
    rows = 16 * _MB // (len(json.dumps(ROW)) + 2) - 100
    body = json.dumps({"dataframe_split": {"columns": IRIS_COLUMNS, "data": [ROW] * rows}}).encode()
    large = Request("/model/iris/1/invocations", body)
    with serving(1) as server:
        web = _largest(server)
        before = web.memory_info().rss
        counts: Counter[int] = Counter()
        with (
            _peak(web) as peak,
            Load(server.port, lambda _: large, _counting(counts, 200, 429), clients=64, total=192) as load,
            Load(server.port, scoring("iris/1"), matches_header, rate=20) as small,
        ):
            load.join()
        report.none_failed(f"{len(body) / _MB:.1f} MB bodies", load.figures)
        report.none_failed("small requests beside", small.figures)
        grown = (max(peak) - before) / _MB
        report.say(f"answers: {dict(counts)}; web worker {before / _MB:.0f} MB before")
        report.check(f"web worker grew by {grown:.0f} MB (limit 1024: 4 x max_waiting_bytes)", grown < 1024)
        for process in server.model_processes():
            report.say(f"model process {process.pid}: {process.memory_info().rss / _MB:.0f} MB")


def _largest(server: TrackingServer) -> psutil.Process:
    """The web worker: the largest of the server's processes, for it has imported all."""
    return max(server_processes(server), key=lambda process: process.memory_info().rss)


@contextlib.contextmanager
def _peak(process: psutil.Process) -> Iterator[list[int]]:
    seen = [process.memory_info().rss]
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            seen.append(process.memory_info().rss)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        stop.set()
        watcher.join()


def slow_clients(report: Report, size: Size) -> None:
    """Clients that stop in their body, trickle it, or do not take their reply are cut off; others notice nothing."""
    with serving(1, settings={"body_timeout_s": _BODY_TIMEOUT_S}) as server:
        register(server.client, "echo", models().path("echo"))
        server.enable("echo")
        server.wait_ready("echo", 1)
        with Load(server.port, scoring("iris/1"), matches_header, rate=50) as load:
            for name, client, limit_s in (
                ("stops in its body", _stopping, 2 * _BODY_TIMEOUT_S),
                ("trickles its body", _trickling, 11 * _BODY_TIMEOUT_S),
                ("does not take its reply", _not_reading, 10 * _BODY_TIMEOUT_S),
            ):
                took_s = client(server, 15 * _BODY_TIMEOUT_S)
                report.check(f"one that {name} is cut off after {took_s:.1f} s (limit {limit_s:g})", took_s <= limit_s)
            took_s = _silent(server, 12.0)
            report.say(
                f"one that never sends a request: {'kept for' if took_s >= 12 else 'cut off after'} {took_s:.1f} s "
                "(uvicorn's; it has no time limit for a request's head)"
            )
        report.none_failed("others", load.figures)


def _head(path: str, length: int) -> bytes:
    lines = [f"POST /model/{path}/invocations HTTP/1.1", "Host: localhost", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "Content-Type: application/json", "", ""]).encode()


def _stopping(server: TrackingServer, patience_s: float) -> float:
    with _connected(server) as connection:
        connection.sendall(_head("iris/1", len(BODY)) + BODY[:10])
        return _until_closed(connection, patience_s)


def _trickling(server: TrackingServer, patience_s: float) -> float:
    started = time.monotonic()
    with _connected(server) as connection:
        connection.sendall(_head("iris/1", 1_000_000))
        connection.settimeout(0.05)
        while time.monotonic() - started < patience_s:
            try:
                connection.sendall(b" ")
                if not connection.recv(1000).startswith(b"HTTP/1.1 400"):
                    break
                break
            except TimeoutError:
                continue
            except OSError:
                break
    return time.monotonic() - started


def _not_reading(server: TrackingServer, patience_s: float) -> float:
    """The time until the server gives up a large reply: only its end of the connection tells."""
    body = json.dumps({"inputs": "x" * (12 * _MB)}).encode()
    with _connected(server, receive_bytes=4096) as connection:
        mine = connection.getsockname()
        connection.sendall(_head("echo/1", len(body)) + body)
        started = time.monotonic()
        while time.monotonic() - started < patience_s:
            if not any(c.raddr == mine for p in server_processes(server) for c in _tcp(p)):
                break
            time.sleep(0.1)
        return time.monotonic() - started


def _silent(server: TrackingServer, patience_s: float) -> float:
    with _connected(server) as connection:
        connection.sendall(b"POST /model/iris/1/invocations HTTP/1.1\r\nHost: localhost\r\n")
        return _until_closed(connection, patience_s)


def _tcp(process: psutil.Process) -> list[object]:
    with contextlib.suppress(psutil.Error):
        return process.net_connections(kind="tcp")
    return []


@contextlib.contextmanager
def _connected(server: TrackingServer, receive_bytes: int | None = None) -> Iterator[socket.socket]:
    with socket.socket() as connection:
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect(("127.0.0.1", server.port))
        yield connection


def _until_closed(connection: socket.socket, patience_s: float) -> float:
    """Seconds until the server answered and closed, or just closed."""
    started = time.monotonic()
    connection.settimeout(patience_s)
    with contextlib.suppress(OSError):
        connection.recv(65536)
    return time.monotonic() - started
