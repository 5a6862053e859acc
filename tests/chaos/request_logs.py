"""The request log while processes are killed, the disk is full and the store cannot be reached."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import boto3
import psutil
import pyarrow.parquet as pq
import requests
from moto.server import ThreadedMotoServer
from pyarrow import fs
from support import eventually
from support.metrics import scrape
from support.server import HTTP_S, TrackingServer, free_port

from .load import Load
from .report import Report, Size
from .storage import fill, free_bytes, small_disk
from .world import BODY, kill_some_worker, leader_pid, matches_header, scoring, serve, serving

_LOST_S = 60.0
_LARGE = 16_000_000
_PLACE = Path("default", "iris")


def request_log(report: Report, size: Size) -> None:
    """Writer, web workers and model workers are killed under load: no torn file, nothing twice, seconds are lost."""
    with serving(1, workers=3) as server:
        _log(server, enabled=True)
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            for kill in (_kill_writer, _kill_web_worker, kill_some_worker, _kill_writer, _kill_web_worker):
                time.sleep(size.seconds / 6)
                report.check(f"{kill.__name__.strip('_')}", kill(server))
            time.sleep(size.seconds / 6)
        eventually(lambda: _is_settled(server), within_s=120, tail=lambda: str(_counts(server)))
        # Each file is read whole: a torn one would raise.
        ids = pq.read_table(server.state / "request-logs" / _PLACE).column("databricks_request_id").to_pylist()
        report.check("no row is there twice", len(ids) == len(set(ids)), f"{len(ids)} rows, {len(set(ids))} ids")
        missing, lost = load.figures.requests - len(ids), int(_counts(server)["lost"])
        report.say(f"{load.figures.requests} answered, {len(ids)} rows, {missing} missing, counts {_counts(server)}")
        report.check("at most a minute is lost", missing <= size.rate * _LOST_S)
        report.check("what is lost is counted", lost >= missing, f"{lost} counted")
        report.none_failed("request log", load.figures)
        large = server.score("iris/1", BODY + b" " * _LARGE)
        report.check("a request of 16 MB is answered", large.status_code == 200, large.text[:200])
        wanted = {"registered_model_name": "iris", "request_id": large.headers["X-Request-Id"]}
        url = f"{server.url}/api/2.0/mlflow/endpoints/get-request"
        eventually(lambda: requests.get(url, params=wanted, timeout=HTTP_S).ok, within_s=90, tail=server.tail)
        row = server.api("GET", "get-request", **wanted)
        codes = row["request"], row["logging_error_codes"]
        report.check(
            "its body is left out with a code", codes == (None, ["MAX_REQUEST_SIZE_EXCEEDED"]), str(codes)[:200]
        )


def request_log_away(report: Report, size: Size) -> None:
    """The store of the log cannot be reached, and then the log's disk is full: all is delivered afterwards."""
    port = free_port()
    store = ThreadedMotoServer("127.0.0.1", port)
    store.start()
    root = f"s3://logs?scheme=http&endpoint_override=127.0.0.1:{port}&region=us-east-1"
    environ = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}
    with _keys(environ):
        boto3.client("s3", "us-east-1", endpoint_url=f"http://127.0.0.1:{port}").create_bucket(Bucket="logs")
    with serving(1, workers=2, settings={"request_log_roots": root}, environ=environ) as server:
        _log(server, enabled=True)
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            eventually(lambda: _counts(server)["written"] > 0, within_s=60, tail=server.tail)
            store.stop()
            time.sleep(size.seconds)
            report.say(f"after {size.seconds:g} s without the store: {_counts(server)}")
            store = ThreadedMotoServer("127.0.0.1", port)
            store.start()
            back_at = time.monotonic()
        eventually(lambda: _is_settled(server), within_s=120, tail=lambda: f"{_counts(server)}\n{server.tail()}")
        report.say(f"all delivered {time.monotonic() - back_at:.1f} s after the store was back")
        report.none_failed("store away", load.figures)
        with _keys(environ):
            files, path = fs.FileSystem.from_uri(root)
            rows = pq.read_table(f"{path}/{_PLACE}", filesystem=files).num_rows
        report.check("every request is a row", rows == load.figures.requests, f"{rows} of {load.figures.requests}")
    store.stop()
    _full_disk(report, size)


def _full_disk(report: Report, size: Size) -> None:
    server = TrackingServer(workers=2)
    place = server.root / "logs"
    server._settings["request_log_roots"] = str(place)
    place.mkdir()
    with small_disk(place) as mounted, server:
        report.check("a small file system is mounted (root can)", mounted)
        serve(server, "iris", 1)
        _log(server, enabled=True)
        with Load(server.port, scoring("iris/1"), matches_header, rate=size.rate) as load:
            filler = fill(place)
            report.check("the log's disk is full", free_bytes(place) == 0)
            time.sleep(size.seconds / 2)
            report.say(f"with a full disk: {_counts(server)}")
            filler.unlink()
        eventually(lambda: _is_settled(server), within_s=120, tail=lambda: f"{_counts(server)}\n{server.tail()}")
        rows = pq.read_table(place / _PLACE).num_rows
        report.check("every request is a row", rows == load.figures.requests, f"{rows} of {load.figures.requests}")
        report.check("no file is left half written", not list(place.rglob("*.tmp")))
        report.none_failed("full disk of the log", load.figures)


def _log(server: TrackingServer, **config: object) -> None:
    server.api("PUT", "update-compute-config", registered_model_name="iris", config={"request_log": config})

    def known() -> bool:
        (endpoint,) = server.routes()["endpoints"].values()
        return bool(endpoint["config"]["request_log"])

    eventually(known)


def _counts(server: TrackingServer) -> dict[str, float]:
    found = scrape(server)
    names = ("taken", "written", "dropped", "lost")
    return {name: found.get(("request_log_records_total", "iris", "1", name), 0.0) for name in names}


def _is_settled(server: TrackingServer) -> bool:
    """Whether nothing waits in the state directory any more."""
    waiting = [*server.state.rglob("*.segment"), *_tallies_of_the_dead(server)]
    return bool(_counts(server)["written"]) and not waiting


def _tallies_of_the_dead(server: TrackingServer) -> list[Path]:
    """What killed web workers have left, and the writer has not counted yet."""
    found = server.state.rglob("*.tally")
    return [path for path in found if not psutil.pid_exists(int(path.name.partition("-")[0]))]


def _kill_writer(server: TrackingServer) -> bool:
    def kill() -> bool:
        for process in server.processes():
            with contextlib.suppress(psutil.Error):
                if "mlflow_serving_plugin.request_log" in process.cmdline():
                    process.kill()
                    return True
        return False

    return bool(eventually(kill, within_s=60, tail=server.tail))


def _kill_web_worker(server: TrackingServer) -> bool:
    pid = eventually(lambda: leader_pid(server), tail=server.tail)
    os.kill(pid, signal.SIGKILL)
    return True


@contextlib.contextmanager
def _keys(environ: dict[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
