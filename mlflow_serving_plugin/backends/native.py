"""The runtime ``native``: workers of our own, forked from a zygote that has imported what models need."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.commands import (
    WORKER_PACKAGE,
    model_variables,
    start_guarded,
    start_session,
    worker_environment,
)
from mlflow_serving_plugin.backends.isolation import in_bubblewrap, isolation_of, levels
from mlflow_serving_plugin.backends.probe import FrameProbe, Probe
from mlflow_serving_plugin.backends.runtime import refusal
from mlflow_serving_plugin.backends.sandbox import HOME, at_home, check_sandbox, sandboxed
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.mlmodel import loader_module
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import kill_session, start_stamp
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, WORKER_CPU, key_of
from mlflow_serving_plugin.worker.wire import MAX_FRAME_BYTES

_OLDEST_PYTHON, _OLDEST_MLFLOW = "3.8", "1.20"
_CONNECT_S = 30.0
_START_S = 120.0
_END_S = 5.0
_JSON_OF_BODY = 4
"""Maximum length of the JSON that the gateway makes of a body, say of CSV, in lengths of the body."""


class Native:
    """Starts native workers: forked from a zygote or, where a fork cannot isolate itself, in bubblewrap."""

    protocol = "frames"

    def __init__(self, settings: Settings, zygotes: Zygotes) -> None:
        self._settings = settings
        self._zygotes = zygotes

    def refuses(self, spec: WorkerSpec) -> str | None:
        """A Python or MLflow that the worker's code does not run on."""
        return refusal(spec, oldest_mlflow=_OLDEST_MLFLOW, oldest_python=_OLDEST_PYTHON)

    def start(
        self, spec: WorkerSpec, common: dict[str, object], address: Path
    ) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Fork the worker, or start it in bubblewrap where the sandbox is on and the kernel grants no namespaces."""
        if not in_bubblewrap(spec):
            isolation = isolation_of(spec, address, self._settings, levels())
            return self._zygotes.fork(spec, common | {"isolation": isolation}, address), None
        check_sandbox()
        status, config_file = Path(f"{address}.status"), Path(f"{address}.config")
        serve = [spec.environment.python, str(WORKER_PACKAGE), "serve", f"@{config_file}"]
        command = sandboxed(serve, spec, os.environ, readable=[config_file], writable=[status])
        # Left to the guard; and variables go into the environment, which only this user can read.
        overridden: dict[str, object] = {"address": "fd://0", "log": None, "record": None, "environment": {}}
        config = {**_worker_config(spec, common, address, self._settings.max_body_bytes), **overridden}
        status.touch(0o600)
        write_atomically(config_file, json.dumps(config).encode())
        process = start_guarded(command, spec, common, address, at_home(HOME), sandboxed=True)
        return process.pid, process

    def probe(self, address: str) -> Probe:
        """By frames."""
        return FrameProbe(address)


class Zygotes:
    """The zygotes of this host: one per environment and version of this package. Thread-safe.

    A zygote is found through its socket, whichever controller started it; a zygote that is gone is replaced.
    """

    def __init__(self, settings: Settings, paths: StatePaths) -> None:
        self._settings = settings
        self._paths = paths
        self._lock = threading.Lock()
        self._gates: dict[Path, threading.Lock] = {}
        """One start at a time for each zygote; a slow start delays no other environment."""
        self._started: dict[Path, subprocess.Popen[bytes]] = {}
        self._cancelled = threading.Event()

    def fork(self, spec: WorkerSpec, common: dict[str, object], address: Path) -> int:
        """Fork a worker and return its pid. WorkerFailedError when no zygote can be started.

        With a plan of ``isolation`` in ``common`` the pid is that of the worker's keeper.
        """
        counts = {
            "counts_file": str(self._paths.metrics / f"worker-{common['worker_id']}.counts"),
            "counts_key": key_of(BATCH_ROWS, spec.key.endpoint_id, spec.key.name),
            "cpu_key": key_of(WORKER_CPU, spec.key.endpoint_id, spec.key.name),
        }
        request = {
            "fork": _worker_config(spec, common | counts, address, self._settings.max_body_bytes),
            "flavor": loader_module(spec.model_dir),
        }
        zygote = self._ensure(spec.environment.python)
        try:
            answer = _ask(zygote, request, _START_S)
        except (OSError, ValueError) as error:
            raise WorkerFailedError(f"The worker could not be forked: {error}.") from error
        if "pid" not in answer:
            raise WorkerFailedError(f"The worker could not be forked: {answer.get('error')}.")
        return int(answer["pid"])

    def cancel(self) -> None:
        """Start no zygote any more, and kill one that is starting: no other controller could find it yet."""
        self._cancelled.set()

    def pids(self) -> list[int]:
        """The processes of the zygotes."""
        return [pid for address in self._paths.sockets.glob("zygote-*") if (pid := _pid_of(address)) is not None]

    def retain(self, pythons: Collection[str]) -> None:
        """End the zygotes of all other interpreters, and leave nothing of them."""
        retained = {self._address(python) for python in pythons}
        with self._lock:
            addresses = {*self._paths.sockets.glob("zygote-*"), *self._started}
        for address in addresses - retained:
            self._remove(address)

    def _remove(self, address: Path) -> None:
        with self._gate(address):
            if pid := _pid_of(address):
                _end(pid)
            address.unlink(missing_ok=True)
            with self._lock:
                process = self._started.pop(address, None)
            if process is not None:
                # The zygote's socket was removed, so the zygote was not asked for its pid above.
                if process.poll() is None:
                    _end(process.pid)
                process.wait()
            for log in self._paths.logs.glob(f"{address.name}.log*"):
                log.unlink(missing_ok=True)

    def _gate(self, address: Path) -> threading.Lock:
        with self._lock:
            return self._gates.setdefault(address, threading.Lock())

    def _ensure(self, python: str) -> Path:
        address = self._address(python)
        with self._gate(address):
            if _pid_of(address) is None:
                with self._lock:
                    ended = self._started.pop(address, None)
                if ended is not None:
                    ended.poll()
                self._start(python, address)
        return address

    def _start(self, python: str, address: Path) -> None:
        log = self._paths.logs / f"{address.name}.log"
        config = {
            "address": str(address),
            "lease": str(self._paths.lease),
            "orphan_grace_s": self._settings.orphan_grace_s,
            "log": str(log),
            "log_max_bytes": self._settings.log_max_bytes,
            "log_backups": self._settings.log_backups,
        }
        # Not isolated (-I): MLflow may be in the user's site-packages.
        command = [python, str(WORKER_PACKAGE), "zygote", json.dumps(config)]
        process = start_session(command, cwd=self._paths.root, env=worker_environment(os.environ, {}, {}, python))
        with self._lock:
            self._started[address] = process
        deadline = time.monotonic() + _START_S
        while _pid_of(address) is None:
            cancelled = self._cancelled.is_set()
            if cancelled or process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                process.wait()
                failed = f"The zygote did not start in the model's environment. See logs/{log.name}."
                raise WorkerFailedError("The controller is stopping." if cancelled else failed)
            time.sleep(0.05)

    def _address(self, python: str) -> Path:
        key = hashlib.sha256(f"{python} {__version__}".encode()).hexdigest()[:12]
        return self._paths.sockets / f"zygote-{key}"


def _worker_config(
    spec: WorkerSpec, common: dict[str, object], address: Path, max_body_bytes: int
) -> dict[str, object]:
    example = spec.example
    return {
        **common,
        "address": str(address),
        "status_file": f"{address}.status",
        "model_dir": str(spec.model_dir),
        "max_frame_bytes": max(MAX_FRAME_BYTES, _JSON_OF_BODY * max_body_bytes),
        "environment": model_variables(spec, os.environ),
        "example": {"body": example.body.decode("utf-8", "replace"), "content_type": example.content_type}
        if example
        else None,
    }


def _pid_of(address: Path) -> int | None:
    """The pid of the zygote that answers at a socket."""
    try:
        return int(_ask(address, {})["pid"])
    except (OSError, ValueError, KeyError):
        return None


def _ask(address: Path, request: Mapping[str, object], timeout_s: float = _CONNECT_S) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(timeout_s)
        connection.connect(str(address))
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as reader:
            reply: dict[str, Any] = json.loads(reader.readline())
    return reply


def _end(pid: int) -> None:
    stamp = start_stamp(pid)
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + _END_S
    while start_stamp(pid) == stamp and stamp is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    if stamp is not None and start_stamp(pid) == stamp:
        kill_session(pid)
