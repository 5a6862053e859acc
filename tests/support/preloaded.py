"""Zygotes and workers, forked off one process of this run that has imported what they import.

To import MLflow, pandas and scikit-learn takes six seconds of processor time, and a run starts some hundred zygotes.
What a fork does afterwards is the same: the entry of the worker's program, with the command line, the variables, the
directory and the session that it would have. Whatever differs otherwise is started as in production: another
interpreter, another user, other variables that a library reads when it is imported.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

VARIABLE = "SERVING_TESTS_PRELOADED"
"""The socket of the process that forks, for servers; with an empty value zygotes start as in production."""
IN_PRODUCTION = {VARIABLE: ""}
"""Further variables of a server whose zygotes are to start as in production."""

_IN_SERVERS = Path(__file__).parent / "in_servers"
"""For a server's ``PYTHONPATH``: has its zygotes forked."""
_ENVIRON = dict(os.environ)
"""Before any test has changed it."""
_PROGRAM = Path(__file__).parent / "preloading.py"
_COMMANDS = ("zygote", "serve")
_START_S = 120.0
_POLL_S = 0.02
_ROOM = 8_000
"""Bytes for the command line of a fork."""


class Forked:
    """One fork: what ``subprocess.Popen`` has, as far as zygotes and workers need it."""

    def __init__(self, address: str, pid: int) -> None:
        self._address = address
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        if self.returncode is None:
            try:
                self.returncode = _ask(self._address, {"poll": self.pid})["ended"]
            except OSError:
                # The end of the run.
                self.returncode = None if Path(f"/proc/{self.pid}").exists() else -signal.SIGKILL
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end. TimeoutExpired."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (ended := self.poll()) is None:
            if deadline is not None and time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(_POLL_S)
        return ended

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start_session(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> Forked | subprocess.Popen[bytes]:
    """As ``backends.commands.start_session``: by a fork where that makes no difference."""
    from mlflow_serving_plugin.backends import commands

    if command[1:2] == [str(commands.WORKER_PACKAGE)] and command[2] in _COMMANDS and (address := _address()):
        order = {"command": command, "cwd": str(cwd), "env": dict(env), "user": os.getuid()}
        with contextlib.suppress(OSError):
            answer = _ask(address, order)
            if "pid" in answer:
                return Forked(address, answer["pid"])
    return commands.start_session(command, cwd=cwd, env=env)


def for_servers() -> dict[str, str]:
    """The variables of a server under test."""
    address = _address()
    return {VARIABLE: address, "PYTHONPATH": str(_IN_SERVERS)} if address else {}


@contextlib.contextmanager
def as_in_production() -> Iterator[None]:
    """What starts a zygote in here starts a program that imports what it needs; so do servers that start in here."""
    os.environ[VARIABLE] = ""
    try:
        yield
    finally:
        del os.environ[VARIABLE]


def _address() -> str:
    """The socket of the process that forks, which the first who asks starts; empty for starts as in production."""
    # Benchmarks measure what a zygote takes that imports what it needs.
    if VARIABLE in os.environ or "PYTEST_VERSION" not in os.environ:
        return os.environ.get(VARIABLE, "")
    from support.shared import once

    return str(once("preloaded", _start))


def _start(path: Path) -> None:
    from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE, worker_environment

    with path.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(_PROGRAM), str(WORKER_PACKAGE), str(path), *([""] * _ROOM)],
            env=worker_environment(_ENVIRON, {}, {}),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    _kept.append(process)
    deadline = time.monotonic() + _START_S
    while not path.exists():
        assert process.poll() is None and time.monotonic() < deadline, path.with_suffix(".log").read_text()
        time.sleep(_POLL_S)


_kept: list[subprocess.Popen[bytes]] = []


def _ask(address: str, order: Mapping[str, Any]) -> Any:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(_START_S)
        connection.connect(address)
        connection.sendall(json.dumps(order).encode() + b"\n")
        with connection.makefile("rb") as reader:
            return json.loads(reader.readline() or b"{}")
