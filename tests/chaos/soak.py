"""Half a million requests over twenty models while versions come and go: nothing fails, and nothing grows."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass

import psutil
from support import command_line, eventually
from support.models import move_stage, register
from support.server import TrackingServer

from .load import Load, Make
from .report import Report, Size
from .world import matches_header, models, scoring, serve, server_processes

_MODELS = 20
_CLIENTS = 16
_WARM_SHARE = 0.1
"""The first 50,000 of 500,000."""

_GROWTH = 1.05
_SETTLED_S = 2.0


@dataclass(frozen=True, slots=True)
class _Process:
    name: str
    rss: int
    files: int
    threads: int


def soaked(report: Report, size: Size) -> None:
    """Requests over 20 models with registrations and archivals: 0 failed, no process grows, nothing is left open."""
    with TrackingServer(workers=2) as server:
        names = [f"model-{number}" for number in range(_MODELS)]
        for name in names:
            serve(server, name, 1)
        changes = _Changes(server)
        make = scoring(*(f"{name}/1" for name in names))
        warm = int(size.soak_requests * _WARM_SHARE)
        changes.step()
        _load(report, server, make, warm, changes, "the first tenth")
        before, sockets = _settled(server, changes), len(server.sockets())
        _load(report, server, make, size.soak_requests - warm, changes, "the rest")
        after = _settled(server, changes)
        report.check("no process is left over or gone", before.keys() == after.keys(), f"{before} {after}")
        report.check("no socket is left over", len(server.sockets()) == sockets, str(server.sockets()))
        for pid in before.keys() & after.keys():
            _compare(report, before[pid], after[pid], pid)
        report.say(f"{changes.count} versions came and went")


def _load(report: Report, server: TrackingServer, make: Make, total: int, changes: _Changes, what: str) -> None:
    started = time.monotonic()
    with Load(server.port, make, matches_header, clients=_CLIENTS, total=total) as load:
        while load.figures.requests < total and not load.figures.failures:
            changes.step()
            time.sleep(1.0)
        load.join()
    report.none_failed(what, load.figures)
    report.none_lost(what, load.figures)
    report.say(f"{load.figures.requests / (time.monotonic() - started):.0f} requests a second")


class _Changes:
    """A model whose versions come and go."""

    def __init__(self, server: TrackingServer) -> None:
        self._server = server
        self.count = 0
        serve(server, "changing", 1)

    def step(self) -> None:
        """One version is registered, served and archived."""
        number = register(self._server.client, "changing", models().path("iris-2"))
        self._server.wait_ready("changing", number)
        move_stage(self._server.client, "changing", number, "Archived")
        eventually(lambda: str(number) not in self._server.states("changing"), within_s=30, tail=self._server.tail)
        self.count += 1


def _settled(server: TrackingServer, changes: _Changes) -> dict[int, _Process]:
    """Every process, once what was archived last is gone."""
    eventually(lambda: len(server.workers("changing")) == 1, within_s=30, tail=server.tail)
    time.sleep(_SETTLED_S)
    web = {process.pid for process in server_processes(server)}
    found = {}
    for process in server.processes():
        with contextlib.suppress(psutil.Error):
            name = "server" if process.pid in web else "zygote" if "zygote" in command_line(process) else "worker"
            found[process.pid] = _Process(name, process.memory_info().rss, process.num_fds(), process.num_threads())
    return found


def _compare(report: Report, before: _Process, after: _Process, pid: int) -> None:
    grown = after.rss / before.rss
    text = f"{before.name} {pid}: {before.rss >> 20} to {after.rss >> 20} MB, {before.files} to {after.files} files"
    if grown > _GROWTH or after.files > before.files + 2 or before.name == "server":
        report.check(text, grown <= _GROWTH and after.files <= before.files + 2)
