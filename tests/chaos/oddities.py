"""What happens seldom: a dead zygote, a stopped worker, two servers on one state directory, a clock that jumps."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter

import psutil
from support import command_line, eventually
from support.models import register
from support.server import TrackingServer

from .client import Request, Response
from .load import Load
from .report import Report, Size
from .world import (
    BODY,
    kill_server,
    kill_some_worker,
    matches_header,
    models,
    ready_workers,
    scoring,
    serve,
    serving,
    worker_pids,
)

_CLOCK = """
import time

_time, _time_ns = time.time, time.time_ns

def _shift():
    try:
        return int(open("ROOT/days").read() or 0) * 86400
    except OSError:
        return 0

time.time = lambda: _time() + _shift()
time.time_ns = lambda: _time_ns() + _shift() * 10**9
"""
"""What makes Python's wall clock jump. (libfaketime makes Python's own sleep fail with EINVAL.)"""


def killed_zygotes(report: Report, size: Size) -> None:
    """The zygote is killed, then a worker: nobody notices, and there is a new one of each."""
    with serving(1, config={"replicas": 2}) as server:
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate / 2) as load:
            for _ in range(2):
                zygote = _zygote(server)
                zygote.kill()
                pids = set(worker_pids(server))
                kill_some_worker(server)
                eventually(lambda old=pids: _replaced(server, old), within_s=90, tail=server.tail)
                report.check("another zygote", _zygote(server).pid != zygote.pid)
        report.none_failed("zygote killed twice", load.figures)
        report.none_lost("zygote killed twice", load.figures)


def _zygote(server: TrackingServer) -> psutil.Process:
    workers = set(worker_pids(server))
    forks = [p for p in server.model_processes() if p.pid not in workers and "zygote" in command_line(p)]
    # A worker in the sandbox is a fork of a fork, and all have the zygote's command line.
    (found,) = [p for p in forks if p.ppid() not in {one.pid for one in forks} | workers]
    return found


def _replaced(server: TrackingServer, old: set[int]) -> bool:
    return ready_workers(server) == len(old) and set(worker_pids(server)) != old


def stopped_worker(report: Report, size: Size) -> None:
    """A worker is SIGSTOPped: all get the other worker's answer, or what it had in hand 504; then it is replaced."""
    timeout_s = 3.0
    config = {"replicas": 2, "request_timeout_s": timeout_s}
    statuses: Counter[int] = Counter()

    def check(request: Request, response: Response) -> str | None:
        statuses[response.status] += 1
        return None if response.status == 504 else matches_header(request, response)

    with serving(1, config=config) as server:
        with Load(server.port, scoring("iris/1"), check, rate=size.rate / 2) as load:
            time.sleep(1.0)
            pids = set(worker_pids(server))
            stopped = min(pids)
            # In the sandbox a process that keeps the worker stands before the worker itself.
            for process in [psutil.Process(stopped), *psutil.Process(stopped).children(recursive=True)]:
                process.suspend()
            stopped_at = time.monotonic()
            eventually(lambda: not psutil.pid_exists(stopped) or stopped not in worker_pids(server), within_s=60)
            eventually(lambda: ready_workers(server) == 2, within_s=60, tail=server.tail)
            report.say(f"replaced {time.monotonic() - stopped_at:.1f} s after it was stopped")
            late, total = statuses[504], sum(statuses.values())
            time.sleep(2.0)
        report.none_failed("one of two stopped", load.figures)
        report.check(f"{late} of {total} answers were 504: few", late <= max(10, total // 20))
        report.check("and none later", statuses[504] == late)


def two_servers(report: Report, size: Size) -> None:
    """Two servers share a state directory: one leads, both serve, the other takes over, the last one clears up."""
    with serving(1) as first:
        second = TrackingServer(backend=f"sqlite:///{first.root}/mlflow.db", settings={"state_dir": first.state})
        second.artifacts = first.artifacts
        second.state = first.state
        try:
            second.start()
            pids = worker_pids(first)
            with Load(second.port, scoring("iris/1"), matches_header, rate=size.rate / 2) as load:
                report.check("the first serves", first.score("iris/1", BODY).status_code == 200)
                time.sleep(2.0)
                report.check("nobody's worker was ended", worker_pids(first) == pids)
                kill_server(first)
                number = register(second.client, "iris", models().path("iris-2"))
                second.wait_ready("iris", number)
                report.check("the second leads, with the first one's worker", set(pids) <= set(worker_pids(second)))
                first.start()
                time.sleep(2.0)
                first.stop()
                time.sleep(2.0)
                report.check("the first one's stop ends no worker", ready_workers(second) == 2)
            report.none_failed("on the second", load.figures)
            report.none_lost("on the second", load.figures)
            second.stop()
            eventually(lambda: not first.model_processes(), within_s=15, tail=second.tail)
            report.check("the last one's stop ends all", first.sockets() == [], str(first.sockets()))
        finally:
            with contextlib.suppress(psutil.Error):
                for process in second.processes():
                    process.kill()
            shutil.rmtree(second.root, ignore_errors=True)


def clock_jumps(report: Report, size: Size) -> None:
    """The server's clock jumps by a day, both ways: nothing is restarted, nothing fails, and the controller goes on."""
    server = TrackingServer(environ={"PYTHONPATH": "{root}/clock"})
    (server.root / "clock").mkdir()
    (server.root / "clock" / "sitecustomize.py").write_text(_CLOCK.replace("ROOT", str(server.root)))
    with server:
        serve(server, "iris", 1)
        pids = worker_pids(server)
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate / 2) as load:
            for days in (1, -1, 0):
                (server.root / "days").write_text(str(days))
                time.sleep(size.seconds / 12)
                report.check(f"{days:+} days: the same worker", worker_pids(server) == pids)
            (server.root / "days").write_text("-1")
            kill_some_worker(server)
            eventually(lambda: ready_workers(server) == 1 and worker_pids(server) != pids, within_s=60)
            number = register(server.client, "iris", models().path("iris-2"))
            server.wait_ready("iris", number)
            report.check("-1 days: a killed worker is replaced, a new version is served", True)
            (server.root / "days").write_text("+400")
            time.sleep(2.0)
            since = server.entities("iris")[str(number)]["since_ms"]
            report.check("the jump was seen", since / 1000 < time.time() - 80_000, str(since))
        report.none_failed("clock jumps", load.figures)
        report.none_lost("clock jumps", load.figures)
