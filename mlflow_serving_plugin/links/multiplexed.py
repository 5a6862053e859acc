"""One connection to a worker of frames, for many requests at once, on an event loop.

A request outlives its caller, since only a restart ends a prediction: it stays pending until it is answered, or until
the worker has given no sign of life for as long as a prediction may take.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from mlflow_serving_plugin.host.messages import Overdue
from mlflow_serving_plugin.links.base import LinkContext, WorkerCall, WorkerReply
from mlflow_serving_plugin.links.event_queue import EVENT_STREAM, first_credit
from mlflow_serving_plugin.links.pending import TICK_S, Pending
from mlflow_serving_plugin.links.stream_async import AsyncStream
from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.wire_streams import whole

_MAX_ID = 0xFFFF_FFFF
_OF_STREAMS = frozenset((wire.PART, wire.END))


class MultiplexedConnection(asyncio.Protocol):
    """Frames to and from one worker. ``opened`` and ``closed`` are called with the connection.

    ``node``: of a worker on another host.
    """

    def __init__(
        self,
        context: LinkContext,
        opened: Callable[[MultiplexedConnection], None],
        closed: Callable[[MultiplexedConnection], None],
        node: tuple[str, int] | None = None,
    ) -> None:
        self.node = node
        self._context = context
        self._opened = opened
        self._closed = closed
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._pending: dict[int, Pending] = {}
        self._streams: dict[int, AsyncStream] = {}
        """Streams whose first event has come, until their end."""
        self._pings: list[asyncio.Future[None]] = []
        self._next_id = 1
        self._ticking = False
        self._heard_at = 0.0
        self._greeted = False
        self._leaving = False
        self._transport: asyncio.Transport | None = None

    @property
    def usable(self) -> bool:
        """Whether requests may be sent. The worker's hello may still be to come: a busy worker says it late."""
        return self._transport is not None and not self._transport.is_closing() and not self._leaving

    @property
    def busy(self) -> bool:
        """Whether answers are still to come."""
        return bool(self._pending or self._streams)

    def submit(self, call: WorkerCall, future: asyncio.Future[WorkerReply]) -> int:
        """Send a request; its answer or its error goes to the future. Returns the frame id."""
        frame_id = self._next_id
        while frame_id in self._pending or frame_id in self._streams:
            frame_id = frame_id % _MAX_ID + 1
        self._next_id = frame_id % _MAX_ID + 1
        now = self._loop.time()
        self._pending[frame_id] = Pending(call, future, now, now + call.timeout_s)
        self._start_ticking()
        timeout_ms = min(int(call.timeout_s * 1000) + 1, _MAX_ID)
        if call.context:
            self._write(wire.encode(wire.CONTEXT, frame_id, call.context))
        kind = wire.STREAM if call.stream else wire.REQUEST
        for part in wire.encode_request(frame_id, timeout_ms, call.content_type.encode("latin-1"), call.body, kind):
            self._write(part)
        if call.stream:
            self._write(first_credit(frame_id))
        return frame_id

    async def ping(self, call: WorkerCall) -> None:
        """Return when the worker gives a sign of life; LostError, and DeadlineError after the call's timeout."""
        ping: asyncio.Future[None] = self._loop.create_future()
        self._pings.append(ping)
        self._write(wire.encode(wire.PING))
        try:
            await asyncio.wait_for(ping, call.timeout_s)
        except asyncio.TimeoutError:
            raise call.timed_out() from None
        except OSError as error:
            raise call.lost(error, sent=False) from None

    def cancel(self, frame_id: int) -> None:
        """Tell the worker that a request was cancelled. The worker is still watched until the request is answered."""
        if frame_id in self._pending:
            self._write(wire.encode(wire.CANCEL, frame_id))
        elif (stream := self._streams.get(frame_id)) is not None:
            stream.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(wire.encode_hello())
        self._opened(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the worker."""
        self._heard_at = self._loop.time()
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except wire.WireError as error:
            self._fail(str(error))
            self.close()
        if self._leaving and not self.busy:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: every pending request is lost."""
        self._fail(str(exc or "it closed the connection"))
        self._closed(self)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def lose(self, why: str) -> None:
        """Take the worker for lost, though the connection has not ended."""
        self._fail(why)
        if self._transport is not None:
            self._transport.abort()

    def _take(self, frame: wire.Frame) -> None:
        if not self._greeted:
            wire.check_hello(frame)
            self._greeted = True
        elif frame.kind == wire.RESPONSE:
            # Pending until the response is decoded: one that cannot be is lost with the connection.
            if (pending := self._pending.get(frame.id)) is not None:
                pending.answer(frame)
                del self._pending[frame.id]
        elif frame.kind == wire.TRACE:
            self._keep_trace(frame)
        elif frame.kind in _OF_STREAMS or frame.id in self._streams:
            self._stream_on(frame)
        elif frame.kind == wire.DROPPED:
            if (pending := self._pending.pop(frame.id, None)) is not None:
                pending.drop(self._loop.time())
        elif frame.kind == wire.PONG:
            for ping in self._pings:
                if not ping.done():
                    ping.set_result(None)
            self._pings.clear()
        elif frame.kind == wire.GOODBYE:
            self._leaving = True

    def _keep_trace(self, frame: wire.Frame) -> None:
        if (stream := self._streams.get(frame.id)) is not None:
            stream.traces.append(whole(frame))
        elif (pending := self._pending.get(frame.id)) is not None:
            pending.traces += (whole(frame),)

    def _stream_on(self, frame: wire.Frame) -> None:
        """An event or the end of a stream. With the first, the stream's caller gets the stream."""
        stream = self._streams.get(frame.id)
        pending = self._pending.pop(frame.id, None)
        if stream is None:
            if pending is None:
                return
            stream = self._streams[frame.id] = AsyncStream(pending.call, frame.id, self._write, self._watch)
            if pending.future.done():
                stream.close()
            else:
                pending.future.set_result(WorkerReply(200, EVENT_STREAM, stream, traces=stream.traces))
        stream.push(frame)
        if frame.kind != wire.PART:
            del self._streams[frame.id]

    def _watch(self, call: WorkerCall, frame_id: int) -> None:
        """A stream sent no event in time: look for a sign of life, as for a request that timed out."""
        future: asyncio.Future[WorkerReply] = self._loop.create_future()
        future.cancel()
        now = self._loop.time()
        self._pending[frame_id] = Pending(call, future, now, now + self._context.overdue_grace_s, timed_out=True)
        self._start_ticking()

    def _start_ticking(self) -> None:
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        """Look for requests that timed out: one timer for all requests is cheaper than a timer each."""
        now = self._loop.time()
        for frame_id, pending in [item for item in self._pending.items() if item[1].due <= now]:
            if not pending.timed_out:
                pending.timed_out = True
                pending.due = now + self._context.overdue_grace_s
                if pending.fail(pending.call.timed_out()):
                    self._write(wire.encode(wire.CANCEL, frame_id))
                self._write(wire.encode(wire.PING))
            elif now - (quiet_since := max(pending.sent_at, self._heard_at)) < pending.call.timeout_s:
                # The worker answers something: busy, not stuck. The worker itself ends a single stuck prediction.
                pending.due = quiet_since + pending.call.timeout_s
                self._write(wire.encode(wire.PING))
            else:
                del self._pending[frame_id]
                self._context.nudge(Overdue(pending.call.worker.worker_id))
        self._ticking = bool(self._pending)
        if self._ticking:
            self._loop.call_later(TICK_S, self._tick)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, why: str) -> None:
        for ping in self._pings:
            if not ping.done():
                ping.set_exception(ConnectionResetError(why))
        self._pings.clear()
        streams, self._streams = self._streams, {}
        for stream in streams.values():
            stream.fail(stream.call.lost(why, sent=True))
        pending, self._pending = self._pending, {}
        # The newest first: requests that are fatal to a worker are retried one at a time in this order, and most
        # of them are fatal at once.
        for request in reversed(pending.values()):
            # A worker says hello before it scores anything.
            request.fail(request.call.lost(why, sent=self._greeted))
