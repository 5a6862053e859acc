"""A stream from a worker on an event loop, one of many requests on its connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from mlflow_serving_plugin.links.base import WorkerCall
from mlflow_serving_plugin.links.event_queue import EventQueue
from mlflow_serving_plugin.worker import wire


class AsyncStream:
    """A WorkerStream. ``write`` sends to the worker; ``overdue`` is called when the worker sends no event in time."""

    def __init__(
        self,
        call: WorkerCall,
        frame_id: int,
        write: Callable[[bytes], object],
        overdue: Callable[[WorkerCall, int], object],
    ) -> None:
        self.call = call
        self.traces: list[bytes] = []
        self._frame_id = frame_id
        self._write = write
        self._overdue = overdue
        self._queue = EventQueue(call, frame_id)
        self._taker: asyncio.Future[None] | None = None
        self._closed = False

    async def take(self) -> list[bytes]:
        """The next events; see WorkerStream."""
        events = self._queue.take()
        while events is None:
            loop = asyncio.get_running_loop()
            self._taker = loop.create_future()
            timer = loop.call_later(self.call.timeout_s, self._time_out)
            try:
                await self._taker
            finally:
                timer.cancel()
                self._taker = None
            events = self._queue.take()
        if credit := self._queue.credit():
            self._write(credit)
        return events

    def push(self, frame: wire.Frame) -> None:
        """A frame came for this stream."""
        if not self._closed:
            self._queue.add(frame)
            self._wake()

    def fail(self, error: Exception) -> None:
        """The connection is lost."""
        self._queue.end(error)
        self._wake()

    def close(self) -> None:
        """Tell the worker that nobody takes events any more, unless the stream has ended."""
        if not (self._closed or self._queue.ended):
            self._write(wire.encode(wire.CANCEL, self._frame_id))
        self._closed = True

    def cut(self, error: Exception) -> None:
        """End the stream with an error."""
        self.close()
        self.fail(error)

    def _time_out(self) -> None:
        self.cut(self.call.timed_out())
        self._overdue(self.call, self._frame_id)

    def _wake(self) -> None:
        if self._taker is not None and not self._taker.done():
            self._taker.set_result(None)
