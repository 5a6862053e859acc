"""The threads in which a custom model computes several predictions at the same time."""

from __future__ import annotations

import contextvars
import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable

from .thread_limits import limit_this_thread

_MOST_STREAMS = 256
"""At the same time, unless the configuration has another number: a stream mostly waits."""


class ModelThreads:
    """``threads`` threads, made by the thread that has loaded the model."""

    def __init__(self, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, initializer=limit_this_thread)
        # What the model has put into context variables while it loaded is there, as in MLflow's own server.
        self._context = contextvars.copy_context()

    def submit(self, call: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Call in one of the threads, as soon as one is free."""
        return self._pool.submit(self._context.copy().run, call, *arguments)


def threads_for(*, one_at_a_time: bool, max_concurrency: int | None) -> ModelThreads | None:
    """Threads for ``max_concurrency`` predictions; None: the loop's own thread computes one prediction at a time."""
    # As many as asyncio.to_thread has in MLflow's own server.
    threads = max_concurrency or min(32, (os.cpu_count() or 1) + 4)
    return None if one_at_a_time or threads == 1 else ModelThreads(threads)


def stream_threads_for(max_streams: int | None) -> ModelThreads:
    """Threads for ``max_streams`` streams at the same time. A thread is made when a stream needs one."""
    return ModelThreads(max_streams or _MOST_STREAMS)
