"""Versions that sleep, in a storm: processes are killed while versions wake, and one model eats all memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator

import psutil
from support import eventually
from support.metrics import scrape
from support.models import register
from support.server import TrackingServer

from .load import Load
from .report import Report, Size
from .world import leader_pid, matches_header, models, scoring

_STORM = 64
_SLEEPERS = 20
_IN_USE = 2
_LIMIT = 1_200_000_000
_PIECE_MB = 100
_GROW = json.dumps({"dataframe_split": {"columns": ["op", "arg"], "data": [["keep", str(_PIECE_MB)]]}}).encode()


def woken(report: Report, size: Size) -> None:
    """Storms of requests for a version that sleeps; kill -9 of its worker, its zygote, the controller: 0 failed."""
    settings = {"min_replicas": 0, "idle_timeout_s": 1, "orphan_grace_s": 120}
    with TrackingServer(workers=2, settings=settings) as server:
        register(server.client, "iris", models().path("iris-1"))
        server.enable("iris")
        rounds = 5 if size.strict else 1
        for name, kill in (("worker", _kill_worker), ("zygote", _kill_zygote), ("controller", _kill_leader)):
            for _ in range(rounds):
                _storm(report, server, name, kill)
            lost = _counted(server, "worker_start_failures_total") + _counted(server, "worker_restarts_total")
            report.say(f"workers lost so far: {lost:.0f}")


def _storm(report: Report, server: TrackingServer, name: str, kill: Callable[[TrackingServer], None]) -> None:
    def asleep() -> bool:
        found = [(entity["state"], entity["workers"]) for entity in server.entities("iris").values()]
        # The worker that ends for the sleep must not be taken for the one of the wake.
        return found == [("ASLEEP", [])] and not [*_records(server)]

    eventually(asleep, within_s=60, tail=server.tail)
    killer = threading.Thread(target=kill, args=(server,), daemon=True)
    killer.start()
    began = time.monotonic()
    with Load(server.port, scoring("iris/1"), matches_header, clients=_STORM, total=_STORM) as load:
        load.join()
    killer.join()
    report.say(f"{_STORM} requests for a sleeping version in {time.monotonic() - began:.1f} s")
    report.none_failed(f"{name} killed during the wake", load.figures)


def _kill_worker(server: TrackingServer) -> None:
    """The first worker that begins to load the model."""
    record = eventually(lambda: next(_records(server), None), within_s=30)
    with contextlib.suppress(ProcessLookupError):
        os.kill(record, signal.SIGKILL)


def _kill_zygote(server: TrackingServer) -> None:
    for process in server.model_processes():
        with contextlib.suppress(psutil.Error):
            if " zygote " in f" {' '.join(process.cmdline())} ":
                process.kill()


def _kill_leader(server: TrackingServer) -> None:
    leader = leader_pid(server)
    eventually(lambda: next(_records(server), None), within_s=30)
    os.kill(leader, signal.SIGKILL)


def _records(server: TrackingServer) -> Iterator[int]:
    for path in server.state.glob("workers/*.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            yield int(json.loads(path.read_text())["pid"])


def hog(report: Report, size: Size) -> None:
    """A model that eats memory beside 20 idle versions: they sleep, those in use serve on, the model is named."""
    settings = {"idle_timeout_s": 3600, "min_replicas": 0, "max_memory_bytes": _LIMIT}
    names = [f"iris{number}" for number in range(_SLEEPERS)]
    with TrackingServer(settings=settings) as server:
        register(server.client, "hostile", models().path("hostile"))
        server.enable("hostile", min_replicas=1)
        for name in names:
            register(server.client, name, models().path("iris-1"))
            server.enable(name)
        for name in ["hostile", *names]:
            server.wait_ready(name, 1)
        used = [f"{name}/1" for name in names[:_IN_USE]]
        with Load(server.port, scoring(*used), matches_header, rate=10) as load:
            _grow(server, lambda: _counted(server, "evictions_total") >= _SLEEPERS - _IN_USE)
            report.check("idle versions sleep for it", True)
            _grow(server, lambda: "VERSION_OUT_OF_MEMORY" in _events(server))
            report.check("the model that grew is named", True)
            report.say(f"workers take {_counted(server, 'worker_memory_bytes') / 1e6:.0f} MB of {_LIMIT / 1e6:.0f} MB")
        report.none_failed("versions in use meanwhile", load.figures)
        awake = [name for name in names[:_IN_USE] if server.workers(name)]
        report.check("versions in use stay awake", len(awake) == _IN_USE, str(awake))
        # The hog must go, or nobody else has room.
        server.api("POST", "disable", registered_model_name="hostile")
        with Load(server.port, scoring(*(f"{n}/1" for n in names)), matches_header, total=_SLEEPERS) as load:
            load.join()
        report.none_failed("all wake again once there is room", load.figures)


def _grow(server: TrackingServer, enough: Callable[[], bool]) -> None:
    """Let the model take more and more memory, at the pace at which memory is measured."""
    for _ in range(2 * _LIMIT // (_PIECE_MB * 10**6)):
        answer = server.score("hostile/1", _GROW)
        assert answer.status_code == 200, answer.text
        with contextlib.suppress(AssertionError):
            eventually(enough, within_s=4)
            return
    raise AssertionError(server.tail())


def _counted(server: TrackingServer, name: str) -> float:
    return sum(value for (found, *_), value in scrape(server).items() if found == name)


def _events(server: TrackingServer) -> set[str]:
    events = server.api("GET", "get-event-history", registered_model_name="hostile")["events"]
    return {event["event_type"] for event in events}
