"""Runs one installer: its output goes into the build log, and a timeout kills all of its processes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.host.processes import kill_session, start_stamp

_LARGEST_LOG = 8 * 1024 * 1024
_LOOK_EVERY_S = 0.2
_PROGRESS = re.compile(r"^\s*(Resolved|Downloading|Building|Prepared|Installed|Solving|Linking|Collecting)\b.*")

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"`]+@")

PROCESS_FILE = "process.json"
"""In the directory of an environment that is being built: the installer's process."""


class BuildFailedError(ServingError):
    """An environment could not be built; the message is the reason, for a person."""


class BuildTimeoutError(BuildFailedError):
    """An environment took longer to build than the build timeout."""


class BuildLog:
    """One build's log, some megabytes at most, without credentials. ``last_progress``: the installer's last step."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8")
        self._left = _LARGEST_LOG
        self.last_progress = ""
        self.tail: list[str] = []

    def line(self, text: str) -> None:
        """Add a line. A full disk loses lines, never the build's own error."""
        text = without_credentials(text.rstrip())
        self.tail = [*self.tail[-400:], text]
        if _PROGRESS.match(text):
            self.last_progress = text.strip()[:120]
        self._left -= len(text) + 1
        if self._left < 0:
            return
        try:
            self._file.write(text + "\n")
            self._file.flush()
        except OSError as error:
            self.tail.append(str(error))
            self._left = 0

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


class Runner:
    """Runs the commands of one build. ``deadline`` by ``time.monotonic``; ``cancelled`` ends it at once."""

    def __init__(
        self, log: BuildLog, env: Mapping[str, str], directory: Path, deadline: float, cancelled: threading.Event
    ) -> None:
        self.log = log
        self._env = dict(env)
        self._directory = directory
        self._deadline = deadline
        self._cancelled = cancelled

    def run(self, command: Sequence[str], cwd: Path, env: Mapping[str, str] | None = None) -> bool:
        """Run a command; whether it ended well. BuildFailedError on a timeout or when the controller stops.

        The log's ``tail`` then holds what this command printed, and nothing of those before it.
        """
        self.log.tail = []
        self.log.line(f"$ {' '.join(command)}")
        process = subprocess.Popen(
            list(command),
            cwd=cwd,
            env={**self._env, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            noted = {"pid": process.pid, "stamp": start_stamp(process.pid)}
            (self._directory / PROCESS_FILE).write_text(json.dumps(noted))
            self._follow(process)
        finally:
            # No process of the command outlives the command, however the command ended.
            kill_session(process.pid)
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        return process.returncode == 0

    def output(self, command: Sequence[str], cwd: Path) -> str:
        """The standard output of a short command; BuildFailedError when the command fails."""
        left = max(1.0, self._deadline - time.monotonic())
        try:
            return subprocess.run(
                list(command), cwd=cwd, env=self._env, capture_output=True, text=True, timeout=left, check=True
            ).stdout
        except subprocess.SubprocessError as error:
            self.log.line(str(getattr(error, "stderr", "") or error))
            raise BuildFailedError("The environment was built, but its interpreter does not run.") from None

    def _follow(self, process: subprocess.Popen[bytes]) -> None:
        """Log the output until its end. Processes that hold the pipe open after the command's end are ignored."""
        assert process.stdout is not None  # noqa: S101 - a pipe was asked for
        rest = b""
        while True:
            if self._cancelled.is_set():
                raise BuildFailedError("The controller is stopping.")
            if time.monotonic() > self._deadline:
                raise BuildTimeoutError("The environment was not built in time.")
            if not select.select([process.stdout], [], [], _LOOK_EVERY_S)[0]:
                if process.poll() is not None:
                    break
                continue
            data = os.read(process.stdout.fileno(), 65536)
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.log.line(line.decode("utf-8", "replace"))
            if not data:
                break
        if rest:
            self.log.line(rest.decode("utf-8", "replace"))
        try:
            process.wait(max(1.0, self._deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise BuildTimeoutError("The environment was not built in time.") from None


def end_interrupted(directory: Path) -> None:
    """Kill the installer of a build whose server was killed."""
    try:
        noted = json.loads((directory / PROCESS_FILE).read_bytes())
        pid, stamp = int(noted["pid"]), noted["stamp"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if stamp:
        kill_session(pid, str(stamp))


def without_credentials(text: str) -> str:
    """The text with the user and password of each URL in it replaced."""
    return _CREDENTIALS.sub("***@", text)
