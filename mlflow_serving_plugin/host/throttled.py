"""Log lines of what may happen thousands of times a second: one line a second, which counts the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class Throttled:
    """Writes at most one line each ``every_s`` seconds to a logger. Thread-safe. ``clock`` gives seconds."""

    def __init__(
        self, logger: logging.Logger, every_s: float = 1.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._logger = logger
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._left_out = 0

    def log(self, level: int, message: str, *arguments: object) -> None:
        """Log a line, or count it for the next line."""
        with self._lock:
            now = self._clock()
            if now < self._next:
                self._left_out += 1
                return
            self._next = now + self._every_s
            left_out, self._left_out = self._left_out, 0
        if left_out:
            message, arguments = f"{message} (%d more like this before)", (*arguments, left_out)
        self._logger.log(level, message, *arguments)
