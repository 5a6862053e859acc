"""Whether a controller is still there."""

from __future__ import annotations

import os
import time


class Lease:
    """A file that the controller touches. By the monotonic clock, so that a wall clock's jump ends nobody."""

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
