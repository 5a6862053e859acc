"""A stream from a worker for a thread, which has the stream's connection for itself."""

from __future__ import annotations

import time
from collections.abc import Callable

from mlflow_serving_plugin.links.base import WorkerCall
from mlflow_serving_plugin.links.event_queue import EventQueue
from mlflow_serving_plugin.links.frames_connection import DroppedError, FrameConnection
from mlflow_serving_plugin.worker import wire


class BlockingStream:
    """A WorkerStream. At the end, ``give_back`` takes the connection; ``overdue``, when no event came in time."""

    def __init__(
        self,
        call: WorkerCall,
        frame_id: int,
        connection: FrameConnection,
        *,
        give_back: Callable[[], object],
        overdue: Callable[[], object],
    ) -> None:
        self._call = call
        self._frame_id = frame_id
        self._connection = connection
        self._give_back = give_back
        self._overdue = overdue
        self._queue = EventQueue(call, frame_id)
        self._over = False
        """Whether the connection is in other hands, or closed."""

    def push(self, frame: wire.Frame) -> None:
        """A frame came for this stream."""
        self._queue.add(frame)
        if self._queue.ended:
            self._over = True
            self._give_back()

    def take(self) -> list[bytes]:
        """The next events; see WorkerStream."""
        events = self._queue.take()
        while events is None:
            self._receive()
            events = self._queue.take()
        if credit := self._queue.credit():
            try:
                self._connection.write(credit)
            except OSError as error:
                self._lose(error)
        return events

    def close(self) -> None:
        """Close the connection, by which the worker notices that nobody takes events, unless the stream has ended."""
        if not self._over:
            self._over = True
            self._connection.close()

    def _receive(self) -> None:
        try:
            self.push(self._connection.receive(self._frame_id, time.monotonic() + self._call.timeout_s))
        except TimeoutError:
            self._over = True
            self._overdue()
            self._queue.end(self._call.timed_out())
        except (OSError, wire.WireError, DroppedError) as error:
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        self.close()
        self._queue.end(self._call.lost(error, sent=True))
