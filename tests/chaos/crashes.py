"""Model workers and web workers killed under load."""

from __future__ import annotations

import itertools
import os
import signal
import time

import psutil
from support import eventually

from .load import Figures, Load
from .report import Report, Size
from .world import kill_some_worker, leader_pid, matches_header, scoring, serving, standing_by


def killed_workers_of_two(report: Report, size: Size) -> None:
    """Two replicas, a random model worker killed every second: nobody notices."""
    _kill_workers(report, size, 2)


def killed_workers_of_one(report: Report, size: Size) -> None:
    """One replica, killed every second: requests wait for the next one."""
    figures = _kill_workers(report, size, 1)
    report.below("1 replica: p99", figures.percentile(0.99), 2000, "ms", size)


def _kill_workers(report: Report, size: Size, replicas: int) -> Figures:
    with serving(1, config={"replicas": replicas}) as server:
        killed = 0
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            next_at = time.monotonic()
            end = next_at + size.seconds
            while (next_at := next_at + 1.0) < end:
                time.sleep(max(0.0, next_at - time.monotonic()))
                killed += kill_some_worker(server)
        what = f"{replicas} replica{'s' * (replicas > 1)}"
        report.check(f"{what}: {killed} workers killed", killed > size.seconds / 3)
        report.none_failed(what, load.figures)
        report.none_lost(what, load.figures)
        if load.figures.failures:
            report.say(server.tail()[-3000:])
        return load.figures


def killed_leader(report: Report, size: Size) -> None:
    """The leading web worker is killed under load: only what was on its own connections has to be sent again."""
    with serving(1, workers=3) as server:
        before = leader_pid(server)
        changes = itertools.cycle(("a", "b"))
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            time.sleep(size.seconds / 6)
            for _ in range(3):
                leader = eventually(lambda: leader_pid(server), within_s=10, tail=server.tail)
                in_flight, lost = load.in_flight, len(load.figures.lost)
                connections = len(psutil.Process(leader).net_connections(kind="tcp")) - 1
                os.kill(leader, signal.SIGKILL)
                killed_at = time.monotonic()
                eventually(lambda dead=leader: leader_pid(server) not in {dead, None}, within_s=20, tail=server.tail)
                report.below("a new leader", time.monotonic() - killed_at, 2.0, "s", size)
                # It leads in deed: a change in the registry reaches the routes.
                alias = next(changes)
                server.client.set_registered_model_alias("iris", alias, "1")
                eventually(lambda new=alias: new in server.routes()["endpoints"]["default/iris"]["aliases"])
                server.client.delete_registered_model_alias("iris", alias)
                time.sleep(size.seconds / 6)
                lost = len(load.figures.lost) - lost
                report.check(
                    f"{lost} connections lost, of {connections} that the leader had; {in_flight} were in flight",
                    lost <= max(in_flight, connections),
                )
                eventually(lambda: standing_by(server) == 3, within_s=90, tail=server.tail)
        report.none_failed("leader killed three times", load.figures)
        report.check("another leader than at first", leader_pid(server) != before)
