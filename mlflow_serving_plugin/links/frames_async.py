"""The ``frames`` protocol from an event loop: one connection per worker, all requests on it, so that they are batched.

A request outlives its caller, since only a restart ends a prediction: it stays pending until it is answered or overdue.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from functools import partial
from typing import cast

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.host.messages import Overdue
from mlflow_serving_plugin.links.base import LinkContext, LiveAddresses, WorkerCall, WorkerReply
from mlflow_serving_plugin.worker import wire

_CONNECT_S = 5.0
_TICK_S = 0.1
_MAX_ID = 0xFFFF_FFFF


@dataclass(slots=True)
class _Pending:
    """One request at a worker. A timeout, or a client that leaves, ends ``future`` before the worker answers."""

    call: WorkerCall
    future: asyncio.Future[WorkerReply]
    sent_at: float
    due: float
    """By the loop's clock: when the request times out; after that, when the request is overdue."""
    timed_out: bool = False
    """Whether the caller has been told that the request timed out."""


class _Connection(asyncio.Protocol):
    """Frames to and from one worker."""

    def __init__(self, link: AsyncFrameLink, secret: bytes) -> None:
        self._link = link
        self._secret = secret
        self._loop = asyncio.get_running_loop()
        self._decoder = wire.Decoder()
        self._pending: dict[int, _Pending] = {}
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
        return bool(self._pending)

    def submit(self, call: WorkerCall, future: asyncio.Future[WorkerReply]) -> int:
        """Send a request; its answer or its error goes to the future. Returns the frame id."""
        frame_id = self._next_id
        while frame_id in self._pending:
            frame_id = frame_id % _MAX_ID + 1
        self._next_id = frame_id % _MAX_ID + 1
        now = self._loop.time()
        self._pending[frame_id] = _Pending(call, future, now, now + call.timeout_s)
        if not self._ticking:
            self._ticking = True
            self._loop.call_later(_TICK_S, self._tick)
        timeout_ms = min(int(call.timeout_s * 1000) + 1, _MAX_ID)
        for part in wire.encode_request(frame_id, timeout_ms, call.content_type.encode("latin-1"), call.body):
            self._write(part)
        return frame_id

    def cancel(self, frame_id: int) -> None:
        """Tell the worker that a request was cancelled. The request is still watched for being overdue."""
        if frame_id in self._pending:
            self._write(wire.encode(wire.CANCEL, frame_id))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Say hello."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(wire.encode_hello(self._secret))
        self._link.remember(self)

    def data_received(self, data: bytes) -> None:
        """Bytes from the worker."""
        self._heard_at = self._loop.time()
        try:
            for frame in self._decoder.feed(data):
                self._take(frame)
        except wire.WireError as error:
            self._fail(str(error))
            self.close()
        if self._leaving and not self._pending:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection has ended: every pending request is lost."""
        self._fail(str(exc or "it closed the connection"))
        self._link.forget(self)

    def close(self) -> None:
        """Close the connection."""
        if self._transport is not None:
            self._transport.close()

    def _take(self, frame: wire.Frame) -> None:
        if not self._greeted:
            wire.check_hello(frame, self._secret)
            self._greeted = True
        elif frame.kind == wire.RESPONSE:
            self._answer(frame)
        elif frame.kind == wire.DROPPED:
            pending = self._pending.pop(frame.id, None)
            if pending is not None and not pending.future.done():
                pending.future.set_exception(pending.call.timed_out())
        elif frame.kind == wire.GOODBYE:
            self._leaving = True

    def _answer(self, frame: wire.Frame) -> None:
        pending = self._pending.get(frame.id)
        if pending is not None and not pending.future.done():
            response = wire.decode_response(frame)
            pending.future.set_result(
                WorkerReply(response.status, response.content_type, response.body, response.times_us)
            )
        self._pending.pop(frame.id, None)

    def _tick(self) -> None:
        """Look for requests that timed out: one timer for all requests is cheaper than a timer each."""
        now = self._loop.time()
        for frame_id, pending in [item for item in self._pending.items() if item[1].due <= now]:
            if not pending.timed_out:
                pending.timed_out = True
                # The worker gets ``overdue_grace_s`` more, and says "dropped" if it had not begun.
                pending.due = now + self._link.context.overdue_grace_s
                if not pending.future.done():
                    pending.future.set_exception(pending.call.timed_out())
                    self._write(wire.encode(wire.CANCEL, frame_id))
            elif now - (quiet_since := max(pending.sent_at, self._heard_at)) < pending.call.timeout_s:
                # The worker answers other requests: busy, not stuck. The worker itself ends a single stuck prediction.
                pending.due = quiet_since + pending.call.timeout_s
            else:
                del self._pending[frame_id]
                self._link.context.nudge(Overdue(pending.call.worker.worker_id))
        self._ticking = bool(self._pending)
        if self._ticking:
            self._loop.call_later(_TICK_S, self._tick)

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _fail(self, why: str) -> None:
        pending, self._pending = self._pending, {}
        for request in pending.values():
            if not request.future.done():
                # A worker says hello before it scores anything.
                request.future.set_exception(request.call.lost(why, sent=self._greeted))


class AsyncFrameLink:
    """One connection per worker. Belongs to one event loop."""

    def __init__(self, context: LinkContext) -> None:
        self.context = context
        self._live = LiveAddresses(context.snapshot)
        self._connections: dict[str, _Connection] = {}
        self._all: set[_Connection] = set()
        """Open connections, including those on which the worker has said goodbye."""
        self._opening: dict[str, asyncio.Task[_Connection]] = {}

    async def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer. When the call is cancelled, the worker is told so."""
        address = call.worker.address
        connection = self._connections.get(address)
        if connection is None or not connection.usable:
            connection = await self._connect(call)
            if not connection.usable:
                raise call.lost("it closed the connection", sent=False)
        future: asyncio.Future[WorkerReply] = asyncio.get_running_loop().create_future()
        frame_id = connection.submit(call, future)
        try:
            return await future
        except asyncio.CancelledError:
            connection.cancel(frame_id)
            raise

    async def close(self) -> None:
        """Close all connections."""
        for opening in list(self._opening.values()):
            opening.cancel()
        for connection in list(self._all):
            connection.close()
        self._connections.clear()

    def remember(self, connection: _Connection) -> None:
        """A connection is open."""
        self._all.add(connection)

    def forget(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._all.discard(connection)
        for address in [address for address, known in self._connections.items() if known is connection]:
            del self._connections[address]

    async def _connect(self, call: WorkerCall) -> _Connection:
        """A new connection, shared by the requests that come while it opens."""
        address = call.worker.address
        self._drop_gone()
        opening = self._opening.get(address)
        if opening is None:
            opening = self._opening[address] = asyncio.ensure_future(self._open(call.worker))
            opening.add_done_callback(lambda done: self._opened(address, done))
        try:
            return await asyncio.shield(opening)
        except (OSError, asyncio.TimeoutError) as error:
            why = str(error) or "it does not accept connections"
            raise call.lost(why, sent=False) from error

    def _opened(self, address: str, opening: asyncio.Task[_Connection]) -> None:
        self._opening.pop(address, None)
        if not opening.cancelled():
            opening.exception()  # those who wait for the connection get the error; nobody may be left

    async def _open(self, worker: WorkerRoute) -> _Connection:
        loop = asyncio.get_running_loop()
        protocol = partial(_Connection, self, worker.secret.encode())
        tcp = wire.tcp_address(worker.address)
        if tcp is not None:
            opened = loop.create_connection(protocol, *tcp)
        else:
            opened = loop.create_unix_connection(protocol, worker.address)
        _, connection = await asyncio.wait_for(opened, _CONNECT_S)
        # The peer's first bytes may have ended the connection already.
        if connection.usable:
            self._connections[worker.address] = connection
        return connection

    def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        for address, connection in list(self._connections.items()):
            if address not in self._live and not connection.busy:
                connection.close()
