"""What the server stands on gives way: the database, the disk, the files of the state directory."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import requests
from support import eventually
from support.models import register
from support.postgres import Postgres, postgres_binaries
from support.server import TrackingServer

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

_API = "/api/2.0/mlflow/endpoints"
_DISK_BYTES = 4 * 1024 * 1024


def database_away(report: Report, size: Size) -> None:
    """PostgreSQL is stopped under load: scoring goes on, workers are replaced, the control API says what is wrong."""
    binaries = postgres_binaries()
    if binaries is None:
        report.check("PostgreSQL is on this machine (apt-get install postgresql)", False)
        return
    with Postgres(binaries) as postgres, serving(1, workers=2, backend=postgres.new_database()) as server:
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            time.sleep(2.0)
            postgres.stop()
            stopped_at = time.monotonic()
            _control_says_so(report, server)
            kill_some_worker(server)
            while time.monotonic() - stopped_at < size.seconds / 2:
                time.sleep(0.5)
            report.check("serving is healthy meanwhile", _get(server, "/serving/health").status_code == 200)
            _control_says_so(report, server)
            postgres.start()
            started_at = time.monotonic()
            eventually(lambda: _status(server).status_code == 200, within_s=60, tail=server.tail)
            report.say(f"control API back {time.monotonic() - started_at:.1f} s after the database")
            number = register(server.client, "iris", models().path("iris-2"))
            server.wait_ready("iris", number)
            report.say(f"a new version served {time.monotonic() - started_at:.1f} s after the database")
        report.none_failed("database stopped", load.figures)
        report.none_lost("database stopped", load.figures)
        events = server.api("GET", "get-event-history", registered_model_name="iris")["events"]
        report.check("events of meanwhile were kept", any("SIGKILL" in event["message"] for event in events))


def _control_says_so(report: Report, server: TrackingServer) -> None:
    for method, action in (("GET", "get-status"), ("GET", "list"), ("POST", "enable")):
        started = time.monotonic()
        answer = requests.request(
            method, f"{server.url}{_API}/{action}", json={"registered_model_name": "iris"}, timeout=60
        )
        text = answer.text[:300]
        good = answer.status_code == 503 and "cannot be reached" in text and "Retry-After" in answer.headers
        report.check(f"{action}: 503 that says why, after {time.monotonic() - started:.1f} s", good, f"{answer} {text}")


def _status(server: TrackingServer) -> requests.Response:
    return _get(server, f"{_API}/get-status?registered_model_name=iris")


def _get(server: TrackingServer, path: str) -> requests.Response:
    return requests.get(f"{server.url}{path}", timeout=60)


def disk_full(report: Report, size: Size) -> None:
    """The state directory's disk is full: logs stop, serving does not; when there is room again, all is made good."""
    server = TrackingServer(settings={"backoff_base_s": 1})
    server.state.mkdir(mode=0o700)
    try:
        with small_disk(server.state) as mounted:
            report.check("a small file system is mounted (root can)", mounted)
            if mounted:
                with server:
                    _full_disk(report, size, server)
    finally:
        shutil.rmtree(server.root, ignore_errors=True)


def _full_disk(report: Report, size: Size, server: TrackingServer) -> None:
    serve(server, "iris", 1, replicas=2)
    with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
        filler = fill(server.state)
        report.check("the disk is full", free_bytes(server.state) == 0, f"{free_bytes(server.state)} bytes free")
        time.sleep(size.seconds / 6)
        kill_some_worker(server)
        time.sleep(size.seconds / 6)
        report.say(f"ready workers with a full disk, one of two killed: {ready_workers(server)}")
        register(server.client, "iris", models().path("iris-2"))
        time.sleep(size.seconds / 6)
        report.say(f"states: {server.states('iris')}")
        filler.unlink()
        freed_at = time.monotonic()
        server.wait_ready("iris", 1, 2)
        eventually(lambda: ready_workers(server) == 4, within_s=90, tail=server.tail)
        report.say(f"all workers ready {time.monotonic() - freed_at:.1f} s after there was room again")
    report.none_failed("full disk", load.figures)
    report.none_lost("full disk", load.figures)


@contextlib.contextmanager
def small_disk(directory: Path) -> Iterator[bool]:
    """A small file system in a directory; whether there is one, which only root can have."""
    command = ["mount", "-t", "tmpfs", "-o", f"size={_DISK_BYTES},mode=0700", "tmpfs", str(directory)]
    mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(directory)], check=True)


def free_bytes(directory: Path) -> int:
    """What is free for a user."""
    found = os.statvfs(directory)
    return found.f_bavail * found.f_frsize


def fill(directory: Path) -> Path:
    """Fill a file system with one file."""
    path = directory / "filler"
    with path.open("wb", buffering=0) as filler, contextlib.suppress(OSError):
        while True:
            filler.write(b"x" * 4096)
    return path


def corrupt_files(report: Report, size: Size) -> None:
    """Snapshot, records, lease and sockets are damaged or removed under load: all are set aside and made anew."""
    with serving(1, config={"replicas": 2}, workers=2) as server:
        routes = server.state / "routes.json"
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            for what, harm in (
                ("the snapshot is garbage", lambda: routes.write_bytes(b"\x00garbage")),
                ("the snapshot is cut", lambda: routes.write_bytes(routes.read_bytes()[:100])),
                ("the snapshot is empty", lambda: routes.write_bytes(b"")),
                ("the snapshot is gone", routes.unlink),
            ):
                harm()
                eventually(lambda: _readable(routes), within_s=10, tail=server.tail)
                report.check(what, len(worker_pids(server)) == 2)
            (server.state / "lease").unlink()
            eventually((server.state / "lease").exists, within_s=10)
            report.check("the lease is gone", _get(server, "/serving/health").status_code == 200)
            pids = set(worker_pids(server))
            next(server.state.glob("workers/*.json")).unlink()
            eventually(lambda: ready_workers(server) == 2 and set(worker_pids(server)) != pids, within_s=60)
            report.check("a worker's record is gone: another worker takes its place", True)
            for socket in server.state.glob("sockets/zygote-*"):
                socket.unlink()
            kill_some_worker(server)
            pids = set(worker_pids(server))
            eventually(lambda: ready_workers(server) == 2 and set(worker_pids(server)) != pids, within_s=90)
            report.check("the zygote's socket is gone", True)
            (server.state / "sockets" / "nudge").unlink()
            number = register(server.client, "iris", models().path("iris-2"))
            server.wait_ready("iris", number)
            report.check("the controller's socket is gone", True)
        report.none_failed("damaged files", load.figures)
        report.none_lost("damaged files", load.figures)
        _damaged_at_start(report, server)


def _damaged_at_start(report: Report, server: TrackingServer) -> None:
    """Damage that the next server finds."""
    kill_server(server)
    record = next(server.state.glob("workers/*.json"))
    record.write_text("{")
    (server.state / "routes.json").write_bytes(b"\xff" * 1000)
    (server.state / "lease").write_bytes(b"\x00" * 100)
    server.start()
    server.wait_ready("iris", 1)
    answer = server.score("iris/1", BODY)
    report.check("all damaged at start: served anew", answer.status_code == 200, answer.text[:300])
    report.check("the damaged record is set aside", record.with_suffix(".damaged").exists())
    for path in server.state.glob("workers/*.damaged"):
        path.unlink()


def _readable(path: Path) -> bool:
    try:
        return any(line["endpoint"] for line in json.loads(path.read_bytes())["lines"] if line)
    except (OSError, ValueError, KeyError):
        return False
