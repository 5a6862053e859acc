"""``mlflow server`` commands, forked off a process that has imported MLflow: that takes seconds of processor time.

The web workers of a server are started by the command, each with an import of its own, as always.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_POLL_S = 0.02

_ended: dict[int, int] = {}
"""The exit statuses of the commands that have ended, in the process that forks."""


class ForkedCommand:
    """One command: what ``subprocess.Popen`` has, as far as tests need it."""

    def __init__(self, parent: _Parent, pid: int) -> None:
        self._parent = parent
        self.pid = pid
        self._ended: int | None = None

    def poll(self) -> int | None:
        """The exit status; None while it runs."""
        if self._ended is None:
            self._ended = self._parent.ask({"poll": self.pid})
        return self._ended

    def wait(self) -> int:
        """Wait for its end."""
        while (ended := self.poll()) is None:
            time.sleep(_POLL_S)
        return ended

    def kill(self) -> None:
        """SIGKILL."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)


class _Parent:
    """The process that forks. It ends with this one."""

    def __init__(self) -> None:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "_MLFLOW"))}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**env, "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
        self._turn = threading.Lock()

    def ask(self, order: Mapping[str, Any]) -> Any:
        """The answer to an order."""
        with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())


@functools.cache
def _parent() -> _Parent:
    return _Parent()


def mlflow_command(arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> ForkedCommand:
    """Run ``mlflow`` with arguments, in a session of its own; what it says is added to the log."""
    order = {"arguments": list(arguments), "log": str(log), "env": dict(env), "cwd": str(cwd)}
    return ForkedCommand(_parent(), _parent().ask(order))


def _main() -> None:
    from mlflow.cli import cli

    signal.signal(signal.SIGCHLD, _reap)
    for line in sys.stdin:
        order = json.loads(line)
        if "poll" in order:
            answer = _ended.get(order["poll"])
        else:
            answer = os.fork()
            if not answer:
                _become(order)
                cli(order["arguments"], prog_name="mlflow")
        print(json.dumps(answer), flush=True)


def _reap(*_: object) -> None:
    """A command that has ended is to be gone for whoever waits for that, not only for whoever asks here."""
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _ended[found[0]] = os.waitstatus_to_exitcode(found[1])


def _become(order: Mapping[str, Any]) -> None:
    """The surroundings that a shell would give the command."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    os.chdir(order["cwd"])
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, order["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT),
    ):
        opened = os.open(path, flags, 0o644)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.dup2(1, 2)
    os.environ.clear()
    os.environ.update(order["env"])
    sys.argv = ["mlflow", *order["arguments"]]


if __name__ == "__main__":
    # This directory, in which modules have everyday names.
    sys.path.pop(0)
    _main()
