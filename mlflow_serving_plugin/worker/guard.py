"""Runs one command as the head of a session: rotates its log, holds its lease, ends all of it together.

Started as ``<python> guard.py '<json>' <command> …`` in a session of its own. Standard library, Python 3.8 or
later. JSON: ``log``, ``log_max_bytes``, ``log_backups``, ``lease``, ``orphan_grace_s``, ``stop_grace_s``,
``socket``, ``worker_id``, ``memory_limit_mb`` (or null).

The command's output goes through a pipe into the log, so that the log can be rotated. The end of the pipe
tells that every process below is gone. The lease is a file that a controller touches; unchanged for
``orphan_grace_s`` seconds (by the monotonic clock, so that a wall clock's jump ends nobody), the session ends.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from typing import Any

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class RotatedLog:
    """Appends to a file that several processes share, and rotates it when it has grown too large."""

    def __init__(self, path: str, max_bytes: int, backups: int) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._backups = backups
        self._fd: int | None = None

    def write(self, data: bytes) -> None:
        """Append bytes. A full disk loses log lines, never the worker."""
        with contextlib.suppress(OSError):
            fd = self._fd
            if fd is None or os.fstat(fd).st_size >= self._max_bytes:
                fd = self._reopen()
            os.write(fd, data)

    def _reopen(self) -> int:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(self._path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Looked at under the lock: another writer may have rotated it just now.
            if os.path.exists(self._path) and os.path.getsize(self._path) >= self._max_bytes:
                for number in range(self._backups, 0, -1):
                    older = self._path + (f".{number - 1}" if number > 1 else "")
                    if os.path.exists(older):
                        os.replace(older, f"{self._path}.{number}")
                if not self._backups:
                    os.unlink(self._path)
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            return self._fd


class Lease:
    """Whether a controller is still there, from the changes of a file's modification time."""

    def __init__(self, path: str, grace_s: float) -> None:
        self._path = path
        self._grace_s = grace_s
        self._seen: int | None = None
        self._changed_at = time.monotonic()

    def expired(self) -> bool:
        """Whether the file has not changed for longer than the grace."""
        now = time.monotonic()
        try:
            stamp = os.stat(self._path).st_mtime_ns
        except OSError:
            stamp = None
        if stamp is not None and stamp != self._seen:
            self._seen = stamp
            self._changed_at = now
        return now - self._changed_at > self._grace_s


def _prctl(option: int, value: int) -> None:
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(option, value)


def _before_exec(memory_limit_mb: int | None) -> None:
    # If the guard itself is killed, nobody watches the command any more: it goes too.
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if memory_limit_mb:
        import resource

        limit = memory_limit_mb * 1024 * 1024
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


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
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
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
        self._say(f"ended, exit code {child.poll()}")
        with contextlib.suppress(OSError):
            os.unlink(self._config["socket"])
        # Whoever closed its output and stayed on goes now; this is the guard's own last act as well.
        os.killpg(0, signal.SIGKILL)
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
    """``guard.py '<json>' <command> …``."""
    return Guard(json.loads(argv[1]), argv[2:]).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
