"""The events of one stream between the connection that brings them and the client that takes them."""

from __future__ import annotations

from collections import deque

from mlflow_serving_plugin.links.base import StreamFailedError, WorkerCall
from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.wire_streams import WINDOW_BYTES, decode_end, encode_credit, whole

EVENT_STREAM = "text/event-stream"


class EventQueue:
    """Events that have come and not been taken: a window of bytes at most, which credit moves on."""

    def __init__(self, call: WorkerCall, frame_id: int) -> None:
        self._call = call
        self._frame_id = frame_id
        self._events: deque[bytes] = deque()
        self._unspent = 0
        """Bytes that were taken since credit was last given."""
        self._error: Exception | None = None
        self.ended = False
        """Whether no more events come."""

    def add(self, frame: wire.Frame) -> None:
        """A part or end frame came."""
        if frame.kind == wire.PART:
            self._events.append(whole(frame))
            return
        if frame.kind == wire.END:
            status, body = decode_end(frame)
            self.end(None if status == 200 else StreamFailedError(status, body))
        else:
            self.end(self._call.lost("it takes no more requests", sent=True))

    def end(self, error: Exception | None) -> None:
        """No more events come, for this reason or because the model came to its end."""
        if not self.ended:
            self.ended, self._error = True, error

    def take(self) -> list[bytes] | None:
        """The events that are there; empty at the end; None when the next has to be waited for. Raises the end."""
        if self._events:
            events = list(self._events)
            self._events.clear()
            self._unspent += sum(map(len, events))
            return events
        if not self.ended:
            return None
        if self._error is not None:
            raise self._error
        return []

    def credit(self) -> bytes:
        """The credit frame that is due; empty while none is."""
        if self.ended or self._unspent < WINDOW_BYTES // 2:
            return b""
        frame, self._unspent = encode_credit(self._frame_id, self._unspent), 0
        return frame


def first_credit(frame_id: int) -> bytes:
    """The credit that goes out with a stream."""
    return encode_credit(frame_id, WINDOW_BYTES)
