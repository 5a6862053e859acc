"""Steps that run beside requests without holding a request up: limits on their number and time; logs failures."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable

from mlflow_serving_plugin.gateway.messages import Aside, Steps

_logger = logging.getLogger(__name__)

MOST = 64
"""Asides of one web worker at a time. More are dropped: they would keep memory and workers from requests."""


class AsyncAsides:
    """Asides as tasks of an event loop. ``drive`` takes steps to their end."""

    def __init__(self, drive: Callable[[Steps[None]], Awaitable[None]]) -> None:
        self._drive = drive
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, aside: Aside) -> bool:
        """Begin; False when there are too many."""
        if len(self._tasks) >= MOST:
            aside.reservation.release()
            return False
        task = asyncio.ensure_future(self._run(aside))
        self._tasks.add(task)
        task.add_done_callback(lambda _: self._ended(aside, task))
        return True

    async def close(self) -> None:
        """End all asides."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, aside: Aside) -> None:
        try:
            await asyncio.wait_for(self._drive(aside.steps), aside.timeout_s)
        except Exception as error:
            _log_failure(error)

    def _ended(self, aside: Aside, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        aside.steps.close()
        aside.reservation.release()


class BlockingAsides:
    """Asides as daemon threads. A thread that hangs takes one place until its steps' own time limits end it."""

    def __init__(self, drive: Callable[[Steps[None]], None]) -> None:
        self._drive = drive
        self._places = threading.BoundedSemaphore(MOST)

    def start(self, aside: Aside) -> bool:
        """Begin; False when there are too many, or no thread can be had."""
        if not self._places.acquire(blocking=False):
            aside.reservation.release()
            return False
        try:
            threading.Thread(target=self._run, args=(aside,), name="aside", daemon=True).start()
        except RuntimeError:
            self._places.release()
            aside.reservation.release()
            return False
        return True

    def _run(self, aside: Aside) -> None:
        try:
            self._drive(aside.steps)
        except Exception as error:
            _log_failure(error)
        finally:
            aside.reservation.release()
            self._places.release()


def _log_failure(error: Exception) -> None:
    _logger.info("Work beside a request failed: %r", error)
