"""A server with everything it starts: launched, found, weighed and ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

START_S = 240.0
_STOP_S = 30.0
_CALM_CORES = 0.05
_CALM_S = 2.0
_BUSY_CORES = 0.2
_DRAINED_S = 0.5


class StartError(Exception):
    """A server did not start or did not answer as it must."""


class Launched:
    """One server. Its processes are those whose environment or command line names its own directory."""

    def __init__(self) -> None:
        # A short name: unix sockets below it must fit into a hundred bytes.
        self.root = Path(tempfile.mkdtemp(prefix="mlsb-"))
        self.log = self.root / "log"
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle_cores = 0.0

    def start(self, command: list[str], variables: Mapping[str, str], python: Path) -> None:
        """Start it in a session of its own."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.root,
                env={**_environment(python), "BENCHMARK_ROOT": str(self.root), **variables},
                start_new_session=True,
            )

    def wait_until(self, holds: Callable[[], bool], within_s: float = START_S, pause_s: float = 0.05) -> float:
        """Wait for a condition; the seconds it took. StartError when the server ended or time is over."""
        began = time.monotonic()
        while not holds():
            if self._process is not None and self._process.poll() is not None:
                raise StartError(f"it ended with exit code {self._process.returncode}: {self.last_words()}")
            if time.monotonic() - began > within_s:
                raise StartError(f"no answer in {within_s:.0f} s: {self.last_words()}")
            time.sleep(pause_s)
        return time.monotonic() - began

    def wait_calm(self, within_s: float = 60.0) -> None:
        """Wait until its processes use next to no processor time; go on after ``within_s`` all the same."""
        deadline = time.monotonic() + within_s
        while (used := self._cores_used(_CALM_S)) > _CALM_CORES and time.monotonic() < deadline:
            pass
        self._idle_cores = used

    def wait_drained(self, within_s: float = 90.0) -> None:
        """Wait until it has worked off the requests whose clients are gone: many servers do not notice."""
        deadline = time.monotonic() + within_s
        busy = self._idle_cores + _BUSY_CORES
        while self._cores_used(_DRAINED_S) > busy and time.monotonic() < deadline:
            pass

    def _cores_used(self, seconds: float) -> float:
        before, began = self.cpu_s(), time.monotonic()
        time.sleep(seconds)
        return (self.cpu_s() - before) / (time.monotonic() - began)

    def processes(self) -> list[psutil.Process]:
        """All its processes, whatever session they are in."""
        found = []
        mark = str(self.root)
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if process.pid != os.getpid() and any(mark in word for word in words):
                    found.append(process)
        return found

    def listeners(self) -> list[psutil.Process]:
        """Those that listen on its port."""
        found = []
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                sockets = process.net_connections(kind="tcp")
                if any(s.status == psutil.CONN_LISTEN and s.laddr.port == self.port for s in sockets):
                    found.append(process)
        return found

    def cpu_s(self) -> float:
        """Processor seconds that its processes have used so far."""
        return cpu_s(self.processes())

    def last_words(self) -> str:
        """The last line of its log that says something, without paths of this machine."""
        lines = [line.strip() for line in self.log.read_text(errors="replace").splitlines() if line.strip()]
        return (lines[-1] if lines else "it said nothing").replace(str(self.root), "…")[:300]

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""

    def close(self) -> None:
        """Stop it politely, then end whatever is left, and remove its directory."""
        try:
            if self._process is not None and self._process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGTERM)
                deadline = time.monotonic() + _STOP_S
                while self.processes() and time.monotonic() < deadline:
                    self._process.poll()
                    time.sleep(0.2)
        finally:
            self._end()

    def _end(self) -> None:
        deadline = time.monotonic() + 10
        while (left := self.processes()) and time.monotonic() < deadline:
            for process in left:
                with contextlib.suppress(psutil.Error):
                    process.kill()
            if self._process is not None:
                self._process.poll()
            time.sleep(0.1)
        if self._process is not None:
            self._process.wait()
        shutil.rmtree(self.root, ignore_errors=True)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def cpu_s(processes: list[psutil.Process]) -> float:
    """Processor seconds that these processes have used, user and system."""
    total = 0.0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def private_bytes(processes: list[psutil.Process]) -> int:
    """Memory that these processes share with nobody (USS), in bytes."""
    return _sum(processes, lambda process: process.memory_full_info().uss)


def resident_bytes(processes: list[psutil.Process]) -> int:
    """Resident memory of these processes, in bytes."""
    return _sum(processes, lambda process: process.memory_info().rss)


def _sum(processes: list[psutil.Process], weigh: Callable[[psutil.Process], Any]) -> int:
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += int(weigh(process))
    return total


def _environment(python: Path) -> dict[str, str]:
    """This process's environment without what is meant for it alone; each server gets its own."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW", "PYTHON"))}
    return {
        **inherited,
        "PATH": os.pathsep.join([str(python.parent), inherited.get("PATH", os.defpath)]),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "BENTOML_DO_NOT_TRACK": "true",
        "RAY_USAGE_STATS_ENABLED": "0",
    }


def own_python() -> Path:
    """The interpreter of the project's environment."""
    return Path(sys.executable)
