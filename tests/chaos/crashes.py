"""Model workers and web workers killed under load."""

from __future__ import annotations

import time

from .load import Load
from .report import Report, Size
from .world import kill_some_worker, matches_header, scoring, serving


def killed_workers_of_two(report: Report, size: Size) -> None:
    """Two replicas, a random model worker killed every second: nobody notices."""
    _kill_workers(report, size, 2)


def killed_workers_of_one(report: Report, size: Size) -> None:
    """One replica, killed every second: requests wait for the next one."""
    figures = _kill_workers(report, size, 1)
    report.below("1 replica: p99", figures.percentile(0.99), 2000, "ms", size)


def _kill_workers(report: Report, size: Size, replicas: int):
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
