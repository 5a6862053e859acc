"""A log file that several processes share, rotated when it has grown too large."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from typing import Any, Mapping


class RotatedLog:
    """Appends to the file ``log`` of ``config``, and rotates the file at ``log_max_bytes``.

    ``log_backups`` older files are kept beside it as ``<log>.1``, ``.2`` …
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._path: str = config["log"]
        self._max_bytes: int = config["log_max_bytes"]
        self._backups: int = config["log_backups"]
        self._fd: int | None = None

    def write(self, data: bytes) -> None:
        """Append bytes. A full disk loses log lines, never the worker."""
        with contextlib.suppress(OSError):
            fd = self._fd
            if fd is None or os.fstat(fd).st_size >= self._max_bytes:
                fd = self.reopen()
            os.write(fd, data)

    def reopen(self) -> int:
        """Rotate if that is due, and open the file that is current now; return its descriptor."""
        self.close()
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        with open(self._path + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # Looked at under the lock: another writer may have rotated it just now.
            if os.path.exists(self._path) and os.path.getsize(self._path) >= self._max_bytes:
                self._rotate()
            self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            return self._fd

    def close(self) -> None:
        """Close the file; the next ``write`` opens it again."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _rotate(self) -> None:
        for number in range(self._backups, 0, -1):
            older = self._path + (f".{number - 1}" if number > 1 else "")
            if os.path.exists(older):
                os.replace(older, f"{self._path}.{number}")
        if not self._backups:
            os.unlink(self._path)


def life_line(worker_id: str, what: str) -> str:
    """A log line about a worker's start or end. The backend's ``diagnose`` parses these lines."""
    return f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} worker {worker_id} {what}"


def write_life_line(worker: Mapping[str, Any], what: str) -> None:
    """Write a life line into a worker's log, from the worker's parent."""
    log = RotatedLog(worker)
    log.write(life_line(worker["worker_id"], what).encode() + b"\n")
    log.close()
