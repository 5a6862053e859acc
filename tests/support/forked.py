"""``mlflow`` commands, and the web workers of ``mlflow server``, forked off a process that has imported what they need.

To import MLflow takes five seconds of processor time. ``mlflow.server``, and what needs that, reads the environment
while it is imported: each web worker imports that part for itself. The processes are those of a server that is started
from a shell: the command starts a web server, which starts web workers.

Under waitress, with another interpreter or with a variable of Python's own, and outside pytest, a server starts as
for everybody.
"""

from __future__ import annotations

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

from support import forking
from support.shared import once

_POLL_S = 0.02

_NEEDED = """
import json, sys
import mlflow.cli, mlflow.server.auth, mlflow.server.fastapi_app, mlflow_serving_plugin.composition
print(json.dumps(list(sys.modules)))
"""


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
            [sys.executable, forking.__file__, str(once("modules.json", _write_needed))],
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


def _write_needed(path: Path) -> None:
    """The names of the modules that a command and a web worker import, in the order in which they are loaded."""
    env = {**os.environ, "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key for tests"}
    said = subprocess.run([sys.executable, "-c", _NEEDED], env=env, check=True, capture_output=True, text=True)
    path.write_text(said.stdout.splitlines()[-1])


@functools.cache
def _parent() -> _Parent:
    return _Parent()


def mlflow_command(arguments: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path) -> ForkedCommand:
    """Run ``mlflow`` with arguments, in a session of its own; what it says is added to the log."""
    order = {"arguments": list(arguments), "log": str(log), "env": dict(env), "cwd": str(cwd)}
    return ForkedCommand(_parent(), _parent().ask(order))
