"""The quickstart's child processes: each in a session of its own, writing to a log file."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow_serving_plugin.host.processes import kill_session, session_members

_TAIL_BYTES = 32 * 1024
_LOOK_EVERY_S = 0.05
_KILL_S = 5.0
"""How long the kernel may take to end a killed process."""


class Child:
    """A process in a session of its own, so that Ctrl-C reaches only the command."""

    def __init__(self, command: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                env=env,
                cwd=log.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def exit_code(self) -> int | None:
        """The exit code; None while the process runs."""
        return self._process.poll()

    def log_tail(self, lines: int = 25) -> str:
        """The last lines that the process wrote."""
        with self._log.open("rb") as file:
            file.seek(max(0, self._log.stat().st_size - _TAIL_BYTES))
            return "\n".join(file.read().decode(errors="replace").splitlines()[-lines:])

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM, wait at most ``grace_s`` seconds for the whole session, then send SIGKILL."""
        try:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            self._wait(grace_s)
        finally:
            kill_session(self._process.pid)
            self._process.wait()
            self._wait(_KILL_S)

    def _wait(self, longest_s: float) -> None:
        deadline = time.monotonic() + longest_s
        while self._running() and time.monotonic() < deadline:
            time.sleep(_LOOK_EVERY_S)

    def _running(self) -> bool:
        return self._process.poll() is None or bool(session_members(self._process.pid))
