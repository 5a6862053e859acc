"""What a worker tells its backend, in a small file beside its socket."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Callable, Optional

_HAS_SERVED_AFTER = 10
"""Predictions. When a worker dies after so many, not every request kills the worker."""


class StatusFile:
    """``batching``: on or off; ``why``: for a person; ``proved``: many predictions were made; ``draining``.

    ``path`` None: ``send`` takes what the file would hold.
    """

    def __init__(self, path: Optional[str], send: Optional[Callable[[bytes], None]] = None) -> None:
        self._write_to = send
        if path is not None:
            self._write_to = lambda data: overwrite(path, data)
        self._predicted = 0
        self._batching = (False, "")
        self._draining = False

    def report_batching(self, on: bool, why: str) -> None:
        """Requests are scored together, or not, and why."""
        self._batching = (on, why)
        self._write()

    def report_draining(self) -> None:
        """The worker finishes the requests that it scores, takes no more, and ends."""
        self._draining = True
        self._write()

    def count(self, predictions: int) -> None:
        """So many more predictions were made."""
        before, self._predicted = self._predicted, self._predicted + predictions
        if before < _HAS_SERVED_AFTER <= self._predicted:
            self._write()

    def _write(self) -> None:
        """On a full disk the status is lost, and the worker goes on."""
        on, why = self._batching
        known = {
            "batching": on,
            "why": why,
            "proved": self._predicted >= _HAS_SERVED_AFTER,
            "draining": self._draining,
        }
        with contextlib.suppress(OSError):
            if self._write_to is not None:
                self._write_to(json.dumps(known).encode())


def overwrite(path: str, data: bytes) -> None:
    """Write a status file, which only this user may read. OSError."""
    # In place: a worker in bubblewrap may write this file only. The backend reads a half-written file again.
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, data)
    finally:
        os.close(fd)
