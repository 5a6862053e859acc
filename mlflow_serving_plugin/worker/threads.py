"""The threads in which a custom model computes several predictions at the same time."""

from __future__ import annotations

import asyncio
import contextvars
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable


class ModelThreads:
    """``threads`` threads, made by the thread that has loaded the model."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads)
        # What the model has put into context variables while it loaded is there, as in MLflow's own server.
        self._context = contextvars.copy_context()

    def run(self, call: Callable[..., Any], *arguments: Any) -> asyncio.Future[Any]:
        """Call in one of the threads, from the thread of the running loop."""
        return asyncio.get_running_loop().run_in_executor(self._pool, self._context.copy().run, call, *arguments)


def threads_for(*, one_at_a_time: bool, max_concurrency: int | None) -> ModelThreads | None:
    """Threads for ``max_concurrency`` predictions; None: the loop's own thread computes one prediction at a time."""
    # As many as asyncio.to_thread has in MLflow's own server.
    threads = max_concurrency or min(32, (os.cpu_count() or 1) + 4)
    return None if one_at_a_time or threads == 1 else ModelThreads(threads)
