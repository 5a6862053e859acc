"""The server dies and comes back: its model workers stay, are found again, or go by themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections import Counter
from pathlib import Path

import psutil
import requests
from support import eventually
from support.server import TrackingServer

from .load import Load
from .report import Report, Size
from .world import BODY, kill_server, matches_header, ready_workers, scoring, serve, serving, worker_pids

_ROLL_S = 60.0
_JSON = {"Content-Type": "application/json"}


def adopted(report: Report, size: Size) -> None:
    """All but the model workers is killed; the server started anew serves with the workers it finds."""
    with serving(1, 2, config={"replicas": 2}, workers=2) as server:
        pids = sorted(worker_pids(server))
        report.check(f"{len(pids)} workers", len(pids) == 4)
        for round_number in range(2):
            kill_server(server)
            report.check("workers live on", all(psutil.pid_exists(pid) for pid in pids))
            first = _FirstAnswer(server)
            server.start()
            gap_s, status, body = first.result()
            report.check(f"round {round_number + 1}: the first answer is 200", status == 200, f"{status} {body!r}")
            report.below("from the port listening to the first answer", gap_s, 1.0, "s", size)
            with Load(server.port, scoring("iris/1", "iris/2"), matches_header, rate=size.rate) as load:
                time.sleep(min(10.0, size.seconds))
            report.none_failed("afterwards", load.figures)
            report.none_lost("afterwards", load.figures)
            report.check("the same workers", sorted(worker_pids(server)) == pids)
            report.check("they can be told apart from strangers", set(server.states("iris").values()) == {"READY"})


def rolled(report: Report, size: Size) -> None:
    """A server that comes back with another version of the plugin replaces its workers one by one, under load."""
    with serving(1, config={"replicas": 2}) as server:
        old = set(worker_pids(server))
        kill_server(server)
        server.environ["PYTHONPATH"] = str(_other_version(server.root))
        server.start()
        fewest = 2
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            deadline = time.monotonic() + _ROLL_S
            while set(worker_pids(server)) & old and time.monotonic() < deadline:
                fewest = min(fewest, ready_workers(server))
                time.sleep(0.05)
            report.check("all workers are new", not set(worker_pids(server)) & old, server.tail())
            time.sleep(3.0)
        report.check(f"never fewer than 2 were ready: {fewest}", fewest == 2)
        report.none_failed("another version of the plugin", load.figures)
        server.environ.pop("PYTHONPATH")


def orphaned(report: Report, size: Size) -> None:
    """No server comes back: workers and zygotes end by themselves once ``orphan_grace_s`` has passed."""
    grace_s = 5.0
    with TrackingServer(settings={"orphan_grace_s": grace_s}) as server:
        serve(server, "iris", 1)
        serve(server, "stock", 1, runtime="mlflow")
        killed_at = time.monotonic()
        kill_server(server)
        left = server.processes()
        report.check(f"{len(left)} processes live on at first", len(left) >= 4)
        time.sleep(grace_s / 2)
        report.check("also after half the time", len(server.processes()) == len(left))
        eventually(lambda: not server.processes(), within_s=grace_s + 20, tail=lambda: str(server.processes()))
        report.say(f"all gone {time.monotonic() - killed_at:.1f} s after the server; the setting is {grace_s} s")
        report.check("their sockets too", not [p for p in server.sockets() if p.name != "nudge"], str(server.sockets()))
        # What comes next finds the records of the dead, clears them away and serves.
        server.start()
        server.wait_ready("iris", 1)
        report.check("a server started later serves", server.score("iris/1", BODY).status_code == 200)


def ended(report: Report, size: Size) -> None:
    """SIGTERM and Ctrl-C end server, workers and zygotes within 5 s, while requests come in."""
    for name, number in (("Ctrl-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM)):
        for workers in (1, 3):
            with serving(1, config={"replicas": 2}, workers=workers) as server:
                stop, statuses = threading.Event(), Counter[int]()
                busy = threading.Thread(target=_keep_busy, args=(server, stop, statuses))
                busy.start()
                time.sleep(1.0)
                started = time.monotonic()
                # A terminal's Ctrl-C goes to the whole foreground group; so does systemd's SIGTERM.
                os.killpg(server.pid, number)
                eventually(lambda: not server.processes(), within_s=30, tail=lambda: _who(server))
                took_s = time.monotonic() - started
                stop.set()
                busy.join()
                report.below(f"{name}, {workers} web workers: all ended after", took_s, 5.0, "s", size)
                eventually(server.ended, within_s=5)
                report.check(f"{name}, {workers} web workers: no socket is left", server.sockets() == [])
                answers = f"{name}, {workers} web workers: all answers are 200"
                report.check(answers, set(statuses) == {200}, str(dict(statuses)))


def _who(server: TrackingServer) -> str:
    return f"{[' '.join(process.cmdline())[-200:] for process in server.processes()]}\n{server.tail()}"


def _keep_busy(server: TrackingServer, stop: threading.Event, statuses: Counter[int]) -> None:
    with requests.Session() as session:
        while not stop.is_set():
            with contextlib.suppress(requests.RequestException):
                url = f"{server.url}/model/iris/1/invocations"
                statuses[session.post(url, data=BODY, headers=_JSON, timeout=60).status_code] += 1
            stop.wait(0.01)


def _other_version(root: Path) -> Path:
    """A directory that makes Python take the plugin for another version of itself."""
    directory = root / "other"
    directory.mkdir()
    (directory / "sitecustomize.py").write_text(
        "import mlflow_serving_plugin\nmlflow_serving_plugin.__version__ = '999.0.0'\n"
    )
    return directory


class _FirstAnswer:
    """Asks from before the port listens, and measures from then to the first answer."""

    def __init__(self, server: TrackingServer) -> None:
        self._server = server
        self._result: tuple[float, int, bytes] = (0.0, 0, b"never")
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> tuple[float, int, bytes]:
        """Seconds from the port listening to the answer; its status and body."""
        self._thread.join(120)
        return self._result

    def _run(self) -> None:
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self._server.port), 1.0)
                break
            except OSError:
                time.sleep(0.005)
        with connection:
            listening_at = time.monotonic()
            connection.settimeout(60)
            head = f"POST /model/iris/1/invocations HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(BODY)}\r\n"
            connection.sendall(head.encode() + b"Content-Type: application/json\r\nConnection: close\r\n\r\n" + BODY)
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
        self._result = (time.monotonic() - listening_at, int(answer[9:12] or 0), answer[-300:])
