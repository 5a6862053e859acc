"""Which predictions run now, and whether one of them has run for too long."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Iterator


class Running:
    """Asked by the house thread, fed by those that score. A prediction may take its own request's timeout."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._ends: dict[int, float] = {}

    @contextlib.contextmanager
    def during(self, timeout_ms: int) -> Iterator[None]:
        """Around a prediction of a request that is waited for so long."""
        thread = threading.get_ident()
        self._ends[thread] = time.monotonic() + timeout_ms / 1000 + self._grace_s
        try:
            yield
        finally:
            del self._ends[thread]

    def overdue(self) -> bool:
        """Whether a prediction has outlived the longest time that anybody waits for it."""
        now = time.monotonic()
        return any(end < now for end in list(self._ends.values()))
