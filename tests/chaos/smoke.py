"""The most telling of all scenarios in a minute, on one server: what every run of the tests shows."""

from __future__ import annotations

import json
import os
import signal
import time

from support import eventually
from support.server import TrackingServer

from .client import Request, Response
from .load import Load
from .loops import fatal, serve_fatal
from .loss import Round, play, serve_lossy
from .report import Report, Size
from .world import (
    in_production,
    kill_server,
    kill_some_worker,
    leader_pid,
    matches_header,
    move_production,
    ready_workers,
    scoring,
    serve,
    worker_pids,
)

_RATE = 30
_KILLS = 2
_BETWEEN = 40
"""Answers between two kills."""

_FEW = 3
_SOME = 20
"""Answers after which a load is under way."""


def smoke(report: Report, size: Size) -> None:
    """Workers, leader and server are killed, the stage moves, the snapshot is damaged, and nobody notices."""
    with TrackingServer(workers=2, settings={"orphan_grace_s": 120}) as server:
        serve(server, "iris", 1, 2)
        move_production(server, 1)
        serve_fatal(server)
        server.wait_ready("fatal", 1)
        eventually(lambda: server.score("iris/Production", b"{}").status_code == 400, tail=server.tail)
        with Load(server.port, scoring("iris/1", "iris/Production"), matches_header, rate=_RATE) as load:
            _kill_workers(server, load)
            _move(server)
            _damage(server)
        report.none_failed("workers killed, stage moved, snapshot damaged", load.figures)
        report.none_lost("workers killed, stage moved, snapshot damaged", load.figures)
        _guilty(report, server)
        _lose(report, server)
        _kill_leader(report, server)
        _kill_all(report, server)
        os.killpg(server.pid, signal.SIGINT)
        eventually(server.ended, within_s=30, tail=server.tail)


def _kill_workers(server: TrackingServer, load: Load) -> None:
    for _ in range(_KILLS):
        _let_through(server, load, _BETWEEN)
        pids = set(worker_pids(server))
        kill_some_worker(server)
        eventually(lambda old=pids: set(worker_pids(server)) != old, within_s=30, tail=server.tail)
        eventually(lambda: ready_workers(server) == 2, within_s=60, tail=server.tail)


def _move(server: TrackingServer) -> None:
    for version in (2, 1):
        move_production(server, version)
        eventually(lambda v=version: in_production(server) == [v], tail=server.tail)


def _damage(server: TrackingServer) -> None:
    (server.state / "routes.json").write_bytes(b"garbage")
    eventually(lambda: _readable(server), within_s=20, tail=server.tail)


def _readable(server: TrackingServer) -> bool:
    try:
        return bool(server.routes())
    except ValueError:
        return False


def _guilty(report: Report, server: TrackingServer) -> None:
    innocent = Request("/model/fatal/1/invocations", fatal("x"))

    def is_502(request: Request, response: Response) -> str | None:
        return None if response.status == 502 else f"{response.status} {response.body[:200]!r}"

    with Load(server.port, lambda _: innocent, rate=_RATE / 2) as load:
        for kind in ("segfault", "cut"):
            _let_through(server, load, _SOME)
            guilty = Request("/model/fatal/1/invocations", fatal(kind))
            with Load(server.port, lambda _, r=guilty: r, is_502, total=1) as one:
                one.join()
            report.none_failed(f"{kind}: answered 502", one.figures)
            eventually(lambda: ready_workers(server, "fatal") == 1, within_s=60, tail=server.tail)
            answer = server.score("fatal/1", fatal("x"))
            report.check("then served again", json.loads(answer.content) == {"predictions": ["x"]}, answer.text)
    report.none_failed("the innocent beside", load.figures)


def _lose(report: Report, server: TrackingServer) -> None:
    rounds = [Round(f"lossy-{fault}", fault, 2, 8, 1) for fault in ("overdue", "killed", "stopped")]
    for one in rounds:
        serve_lossy(server, one.name, one.replicas)
    play(report, server, *rounds)


def _kill_leader(report: Report, server: TrackingServer) -> None:
    leader = eventually(lambda: leader_pid(server), tail=server.tail)
    with Load(server.port, scoring("iris/1"), matches_header, rate=_RATE) as load:
        _some_more(server, load)
        os.kill(leader, signal.SIGKILL)
        killed_at = time.monotonic()
        eventually(lambda: leader_pid(server) not in {leader, None}, within_s=30, tail=server.tail)
        report.say(f"a new leader after {time.monotonic() - killed_at:.1f} s")
        _some_more(server, load)
    report.none_failed("leader killed", load.figures)


def _let_through(server: TrackingServer, load: Load, number: int) -> None:
    # Once a request has lost two workers it is taken to be guilty: what the last kill held up has to be through.
    enough = load.figures.requests + number
    eventually(lambda: load.figures.requests > enough and load.in_flight < _FEW, within_s=60, tail=server.tail)


def _some_more(server: TrackingServer, load: Load) -> None:
    enough = load.figures.requests + _SOME
    eventually(lambda: load.figures.requests > enough, within_s=60, tail=server.tail)


def _kill_all(report: Report, server: TrackingServer) -> None:
    pids = worker_pids(server)
    kill_server(server)
    server.start()
    with Load(server.port, scoring("iris/1", "iris/2"), matches_header, rate=_RATE) as load:
        _some_more(server, load)
    report.none_failed("server killed and started again", load.figures)
    report.check("with the workers of before", sorted(worker_pids(server)) == sorted(pids))
