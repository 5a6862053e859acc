"""Runs one command as the head of a session: rotates its log, holds its lease, ends all of it together.

Started as ``<python> <path to worker/> guard '<json>' <command> …`` in a session of its own. Standard library,
Python 3.8 or later. JSON: ``log``, ``log_max_bytes``, ``log_backups``, ``lease``, ``orphan_grace_s``, ``stop_grace_s``,
``socket``, ``worker_id``, ``memory_limit_mb`` (or null).

The command's output goes through a pipe into the log, so that the log can be rotated. The end of the pipe
tells that every process below is gone. The lease is a file that a controller touches; unchanged for
``orphan_grace_s`` seconds (by the monotonic clock, so that a wall clock's jump ends nobody), the session ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from typing import Any

from .lease import Lease
from .logs import RotatedLog
from .process import PR_SET_CHILD_SUBREAPER, PR_SET_PDEATHSIG, how_it_ended, kill_session, limit_memory, prctl

_EXIT_S = 1.0


def _before_exec(memory_limit_mb: int | None) -> None:
    # If the guard itself is killed, nobody watches the command any more: it goes too.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    limit_memory(memory_limit_mb)


class Guard:
    """One command from start to end."""

    def __init__(self, config: dict[str, Any], command: list[str]) -> None:
        self._config = config
        self._command = command
        self._log = RotatedLog(config["log"], config["log_max_bytes"], config["log_backups"])
        self._lease = Lease(config["lease"], config["orphan_grace_s"])
        self._stop_requested = False

    def run(self) -> int:
        """Start the command and stay until all of its processes are gone."""
        # select() goes on after a signal (PEP 475), so the signal has to come as something to read.
        awake, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, self._request_stop)
        signal.signal(signal.SIGINT, self._request_stop)
        # Orphans of the command become our children, so that they are reaped.
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        self._say("started")
        reader, writer = os.pipe()
        try:
            child = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                preexec_fn=lambda: _before_exec(self._config["memory_limit_mb"]),
            )
        except OSError as error:
            self._say(f"could not start: {error}")
            return 1
        os.close(writer)
        self._follow(reader, awake, child)
        code = child.poll()
        self._say("ended" if code is None else f"ended, {how_it_ended(code)}")
        with contextlib.suppress(OSError):
            os.unlink(self._config["socket"])
        # Whoever closed its output and stayed on goes now; this is the guard's own last act as well.
        kill_session()
        return 0

    def _follow(self, reader: int, awake: int, child: subprocess.Popen[bytes]) -> None:
        deadline = None
        while True:
            readable, _, _ = select.select([reader, awake], [], [], 0.2 if deadline else 1.0)
            if awake in readable:
                os.read(awake, 512)
            if reader in readable:
                data = os.read(reader, 65536)
                if not data:
                    # A process closes its output a moment before it can be asked for its exit code.
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        child.wait(_EXIT_S)
                    return
                self._log.write(data)
            if deadline is None and (self._stop_requested or self._lease.expired() or child.poll() is not None):
                if not self._stop_requested and child.poll() is None:
                    self._say(f"no controller for {self._config['orphan_grace_s']} s")
                deadline = time.monotonic() + self._config["stop_grace_s"]
                self._stop_requested = True
                os.killpg(0, signal.SIGTERM)
            if deadline is not None and time.monotonic() > deadline:
                self._say(f"killed: it did not end within {self._config['stop_grace_s']} s")
                return

    def _request_stop(self, _signum: int, _frame: object) -> None:
        self._stop_requested = True

    def _say(self, what: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        self._log.write(f"--- {stamp} worker {self._config['worker_id']} {what}\n".encode())


def main(argv: list[str]) -> int:
    """``'<json>' <command> …``; the exit code."""
    return Guard(json.loads(argv[0]), argv[1:]).run()
