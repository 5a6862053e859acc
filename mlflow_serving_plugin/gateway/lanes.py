"""The threads of an event loop's driver, in lanes: a lane that is full or hangs holds up no other lane.

A password costs a hash of some 80 ms, a look-up may wait for a database that hangs, a view of the control API may do
both. A request with a token must wait for none of the three, and a user who was let in before for no guess.
"""

from __future__ import annotations

import asyncio
import contextvars
import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

from mlflow_serving_plugin.errors import TemporarilyUnavailableError, TooManyRequestsError
from mlflow_serving_plugin.gateway.messages import Lane, RunBlocking

_RETRY_AFTER_S = 1


class _Limits(NamedTuple):
    """Of one lane. ``waiting``: calls at a time. ``queue_s``: before a call begins. ``run_s``: from then on."""

    threads: int
    waiting: int
    queue_s: float
    run_s: float | None


_LIMITS = {
    # As asyncio.to_thread has. Bodies under way are bounded by their bytes.
    Lane.WORK: _Limits(min(32, (os.cpu_count() or 1) + 4), 10_000, 60.0, None),
    Lane.LOOKUP: _Limits(8, 1000, 5.0, 5.0),
    Lane.KNOWN_PASSWORD: _Limits(8, 1000, 5.0, 10.0),
    Lane.PASSWORD: _Limits(8, 1000, 2.0, 10.0),
    Lane.CONTROL: _Limits(4, 200, 5.0, 10.0),
}


class Lanes:
    """Runs blocking functions for one event loop."""

    def __init__(self) -> None:
        self._pools = {
            lane: ThreadPoolExecutor(limits.threads, thread_name_prefix=f"serving-{lane.name.lower()}")
            for lane, limits in _LIMITS.items()
        }
        self._under_way = dict.fromkeys(Lane, 0)

    async def run(self, step: RunBlocking) -> Any:
        """The function's result; TooManyRequestsError, TemporarilyUnavailableError, and what the function raises."""
        lane, limits = step.lane, _LIMITS[step.lane]
        if self._under_way[lane] >= limits.waiting:
            raise _full(lane)
        call = partial(_unless_late, contextvars.copy_context(), step, time.monotonic() + limits.queue_s)
        self._under_way[lane] += 1
        future = asyncio.get_running_loop().run_in_executor(self._pools[lane], call)
        future.add_done_callback(partial(self._ended, lane))
        if limits.run_s is None:
            return await future
        # A thread that hangs cannot be ended; its request is answered all the same.
        done, _ = await asyncio.wait({future}, timeout=limits.queue_s + limits.run_s)
        if not done:
            future.cancel()
            raise TemporarilyUnavailableError(
                "The server's database or auth app does not answer. Models are served as before; try again.",
                retry_after_s=_RETRY_AFTER_S,
            )
        return future.result()

    def close(self) -> None:
        """Begin nothing more; what runs goes on."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)

    def _ended(self, lane: Lane, future: asyncio.Future[Any]) -> None:
        self._under_way[lane] -= 1
        if not future.cancelled():
            future.exception()  # asked for, so that asyncio does not log the error of a request that left


def _unless_late(context: contextvars.Context, step: RunBlocking, latest_s: float) -> Any:
    if time.monotonic() > latest_s:
        raise _full(step.lane)
    return context.run(step.function)


def _full(lane: Lane) -> TooManyRequestsError:
    return TooManyRequestsError(f"Too many requests wait for {lane.value}.", retry_after_s=_RETRY_AFTER_S)
