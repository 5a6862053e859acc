"""Slow work off the loop: a thread a task, its outcome handed back to the loop."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.domain.entity import EntityKey


@dataclass(frozen=True, slots=True)
class Job:
    """Names a piece of work: ``fetch`` or ``launch`` of a version, ``build`` of an environment, …"""

    kind: str
    key: EntityKey | None = None
    fingerprint: str = ""
    worker_id: str = ""
    environment: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended. ``error`` None: well, with ``value``."""

    job: Job
    value: Any
    error: Exception | None


class Tasks:
    """Starts tasks and collects their outcomes. Threads are daemons: a web worker that ends waits for none.

    ``wake`` is called from the task's thread when an outcome is there to be collected.
    """

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._done: queue.SimpleQueue[Outcome] = queue.SimpleQueue()
        self._running: dict[Job, int] = {}

    def start(self, job: Job, work: Callable[[], Any]) -> None:
        """Run ``work`` in a thread. Several may have one name."""
        self._running[job] = self._running.get(job, 0) + 1
        threading.Thread(target=self._run, args=(job, work), name=f"serving {job.kind}", daemon=True).start()

    def running(self, job: Job) -> bool:
        """Whether such a task is under way."""
        return job in self._running

    def collect(self) -> list[Outcome]:
        """The outcomes since the last call."""
        outcomes: list[Outcome] = []
        while True:
            try:
                outcome = self._done.get_nowait()
            except queue.Empty:
                return outcomes
            left = self._running[outcome.job] - 1
            if left:
                self._running[outcome.job] = left
            else:
                del self._running[outcome.job]
            outcomes.append(outcome)

    def _run(self, job: Job, work: Callable[[], Any]) -> None:
        try:
            outcome = Outcome(job, work(), None)
        except Exception as error:
            outcome = Outcome(job, None, error)
        self._done.put(outcome)
        self._wake()
