"""Slow work off the loop: a thread a task, and a continuation that the loop runs when the task has ended."""

from __future__ import annotations

import logging
import queue
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.errors import ServingError

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. ``error`` None: well, with ``value``."""

    name: str
    value: Any
    error: Exception | None

    @property
    def reason(self) -> str:
        """The error in one sentence."""
        return (
            self.error.message if isinstance(self.error, ServingError) else f"{type(self.error).__name__}: {self.error}"
        )


Then = Callable[[Outcome, float], None]
"""Takes an outcome in, on the loop's thread. The number is the tick's ``now``."""


def log_failure(outcome: Outcome, _: float) -> None:
    """The continuation of a task whose result nobody needs."""
    if outcome.error is not None:
        _logger.error("The task %r failed: %s", outcome.name, outcome.reason)


class Tasks:
    """Starts tasks and runs their continuations. Threads are daemons: a web worker that ends waits for none.

    ``wake`` is called from the task's thread when the task has ended.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._ended: queue.SimpleQueue[tuple[Outcome, Then]] = queue.SimpleQueue()
        self._running: Counter[str] = Counter()

    def start(self, name: str, work: Callable[[], Any], then: Then = log_failure) -> None:
        """Run ``work`` in a thread; the next ``settle`` after its end calls ``then``. Several may have one name."""
        self._running[name] += 1
        threading.Thread(target=self._run, args=(name, work, then), name=f"serving {name}", daemon=True).start()

    def running(self, *names: str) -> bool:
        """Whether a task of one of these names is under way."""
        return any(self._running[name] for name in names)

    def settle(self, now: float) -> None:
        """Run the continuations of the tasks that have ended since the last call. ``now`` in seconds, monotonic."""
        while True:
            try:
                outcome, then = self._ended.get_nowait()
            except queue.Empty:
                return
            self._running[outcome.name] -= 1
            then(outcome, now)

    def _run(self, name: str, work: Callable[[], Any], then: Then) -> None:
        try:
            outcome = Outcome(name, work(), None)
        except Exception as error:
            outcome = Outcome(name, None, error)
        self._ended.put((outcome, then))
        self._wake()
