"""Slow streams by the hundred, and clients that leave in the middle of their streams."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import psutil
from support import eventually
from support.listeners import Listeners
from support.metrics import scrape
from support.server import TrackingServer
from support.streams import serve_streaming

from .load import Load
from .report import Report, Size
from .world import matches_header, models, scoring, server_processes, serving

_CLIENTS = 500
_PAUSE_S = 1.0
_MB = 1024 * 1024
_MOST_GROWN_MB = 256
_FEW = 16
_SINGLE = 100
"""Streams one after another, of which the first event is timed."""


def streams(report: Report, size: Size) -> None:
    """500 slow streams beside another model's requests; 1,000 clients leave in the middle, and nothing is left."""
    with serving(1) as server:
        serve_streaming(server, models(), max_streams=_CLIENTS)
        _first_events(report, server, size)
        alone = _probe(server, size)
        report.none_failed("another model, alone", alone.figures)
        descriptors, threads = _open(server)
        report.say(f"before: {descriptors} descriptors, {threads} threads")
        for turn in (1, 2):
            _crowd(report, server, size, turn, alone)
            eventually(lambda turn=turn: _over(server) == turn * _CLIENTS, within_s=60, tail=server.tail)
            eventually(lambda: _in_flight(server) == 0, within_s=60, tail=server.tail)
            report.check(f"all generators of turn {turn} have ended", _over(server) == turn * _CLIENTS)
            eventually(lambda: _open(server)[0] <= descriptors + _FEW, within_s=60, tail=lambda: str(_open(server)))
            left = _open(server)
            report.say(f"after turn {turn}: {left[0]} descriptors, {left[1]} threads")
            report.check("descriptors are as before", left[0] <= descriptors + _FEW)
            if turn == 1:
                # The worker keeps as many threads as it has had streams at a time, up to max_streams.
                threads = left[1]
        report.check("the second turn leaves no more threads than the first", left[1] <= threads + _FEW)


def _crowd(report: Report, server: TrackingServer, size: Size, turn: int, alone: Load) -> None:
    def asked(number: int) -> dict[str, Any]:
        over = str(server.shared / f"over-{turn}-{number}")
        # Not all at the same moment.
        return {"number": 10**9, "pause_s": _PAUSE_S * (0.8 + number % 40 / 100), "timed": True, "over": over}

    began = _memory(server)
    with Listeners(server, _CLIENTS, asked) as crowd:
        eventually(lambda: crowd.begun == _CLIENTS or crowd.failures, within_s=120, tail=server.tail)
        beside = _probe(server, size)
        grown = {pid: (now - began.get(pid, now)) / _MB for pid, now in _memory(server).items()}
    report.check(f"turn {turn}: none of {_CLIENTS} streams failed", not crowd.failures, str(crowd.failures[:3]))
    late = sorted(crowd.late_ms)
    report.say(f"{crowd.events} events, from the model to the client p50 {late[len(late) // 2]:.1f} ms")
    report.none_failed(f"another model beside {_CLIENTS} streams", beside.figures)
    ratio = beside.figures.percentile(0.99) / alone.figures.percentile(0.99)
    report.below("another model: p99, times that alone", ratio, 1.2, "", size)
    most = max(grown.values())
    report.check(f"the largest growth of a process: {most:.0f} MB (limit {_MOST_GROWN_MB})", most < _MOST_GROWN_MB)


def _first_events(report: Report, server: TrackingServer, size: Size) -> None:
    late: list[float] = []
    for _ in range(_SINGLE):
        with Listeners(server, 1, lambda _: {"number": 10**9, "pause_s": 0.005, "timed": True}) as one:
            eventually(lambda one=one: one.late_ms or one.failures, tail=server.tail)
        late.append(one.late_ms[0])
    late.sort()
    report.say(f"first event, from the model's yield to the client: p50 {late[50]:.2f} ms, p90 {late[90]:.2f} ms")
    report.below("first event: p50", late[50], 5.0, "ms", size)


def _probe(server: TrackingServer, size: Size) -> Load:
    with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
        time.sleep(size.seconds / 3)
    return load


def _over(server: TrackingServer) -> int:
    return len(list(server.shared.glob("over-*")))


def _in_flight(server: TrackingServer) -> float:
    return sum(value for (name, *_), value in scrape(server).items() if name == "streams_in_flight")


def _memory(server: TrackingServer) -> dict[int, int]:
    return {process.pid: process.memory_info().rss for process in server.processes() if process.is_running()}


def _open(server: TrackingServer) -> tuple[int, int]:
    """Descriptors and threads of all processes of a server and its workers."""
    descriptors = threads = 0
    for process in {*server_processes(server), *server.model_processes()}:
        with contextlib.suppress(psutil.Error):
            descriptors += process.num_fds()
            threads += process.num_threads()
    return descriptors, threads
