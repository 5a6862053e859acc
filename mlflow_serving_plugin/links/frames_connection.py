"""A blocking connection to a worker that speaks frames: one request at a time."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time

from mlflow_serving_plugin.links import tcp
from mlflow_serving_plugin.relay.proof import parse_address
from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.wire_streams import whole


class DroppedError(Exception):
    """The worker did not score the request. ``late``: because the request timed out in the worker's queue."""

    def __init__(self, *, late: bool) -> None:
        super().__init__("the worker did not get to the request in time" if late else "it takes no more requests")
        self.late = late


class FrameConnection:
    """Connects and says hello. Every method raises OSError (TimeoutError after ``timeout_s``) and wire.WireError.

    A busy worker may say its own hello late, but before its first answer. ``greeted``: the worker has said hello.
    ``sent``: all of a request is on its way. ``secret``: what the relay of a worker on another host asks for.
    """

    def __init__(self, address: str, timeout_s: float, secret: str = "") -> None:
        self._decoder = wire.Decoder()
        self._frames: list[wire.Frame] = []
        self._next_id = 1
        self._why_ended = "the worker closed the connection"
        self.greeted = False
        self.sent = False
        self.traces: list[bytes] = []
        """Of the last request."""
        self._socket = _connect(address, timeout_s, secret)
        try:
            self._socket.sendall(wire.encode_hello())
        except BaseException:
            self._socket.close()
            raise

    def ping(self, timeout_s: float) -> None:
        """Return when the worker has answered."""
        self.sent = False
        self._socket.settimeout(timeout_s)
        self._socket.sendall(wire.encode(wire.PING, 0))
        deadline = time.monotonic() + timeout_s
        while self._receive(deadline).kind != wire.PONG:
            pass

    def call(self, content_type: str, body: bytes, timeout_s: float, context: bytes = b"") -> wire.Response:
        """Send a request and wait for its response. After any error but DroppedError, close the connection."""
        frame_id = self.send(content_type, body, timeout_s, context=context)
        return wire.decode_response(self.receive(frame_id, time.monotonic() + timeout_s))

    def send(
        self, content_type: str, body: bytes, timeout_s: float, kind: int = wire.REQUEST, context: bytes = b""
    ) -> int:
        """Send a request, or begin a stream; returns the frame id."""
        frame_id = self._next_id
        self._next_id = frame_id % 0xFFFF_FFFF + 1
        timeout_ms = min(int(timeout_s * 1000) + 1, 0xFFFF_FFFF)
        self.sent = False
        self.traces = []
        self._socket.settimeout(timeout_s)
        if context:
            self._socket.sendall(wire.encode(wire.CONTEXT, frame_id, context))
        for part in wire.encode_request(frame_id, timeout_ms, content_type.encode("latin-1"), body, kind):
            self._socket.sendall(part)
        self.sent = True
        return frame_id

    def receive(self, frame_id: int, deadline: float) -> wire.Frame:
        """The next frame with this id: a response, a part or an end. DroppedError."""
        while True:
            frame = self._receive(deadline)
            if frame.id == frame_id and frame.kind == wire.DROPPED:
                raise DroppedError(late=time.monotonic() >= deadline)
            if frame.id == frame_id and frame.kind == wire.TRACE:
                self.traces.append(whole(frame))
            if frame.id == frame_id and frame.kind in (wire.RESPONSE, wire.PART, wire.END):
                return frame

    def write(self, data: bytes) -> None:
        """Send a small frame."""
        self._socket.sendall(data)

    def cancel(self) -> None:
        """Tell the worker that the last request was cancelled, and ask for a sign of life, unless that would block."""
        self._socket.setblocking(False)
        with contextlib.suppress(OSError):
            self._socket.send(wire.encode(wire.CANCEL, self._next_id - 1) + wire.encode(wire.PING))

    def alive(self) -> bool:
        """Whether the worker has neither closed the connection nor said anything unasked (goodbye)."""
        return not self._frames and not self.readable(0)

    def readable(self, within_s: float) -> bool:
        """Whether data comes, or the connection ends, within so many seconds."""
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        poller = select.poll()
        poller.register(self._socket, select.POLLIN)
        return bool(poller.poll(within_s * 1000))

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def break_off(self, why: str) -> None:
        """End the connection under the hands of a thread that waits for an answer: OSError there."""
        self._why_ended = why
        tcp.break_off(self._socket)

    def _receive(self, deadline: float) -> wire.Frame:
        while not self._frames:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("the worker did not answer in time")
            self._socket.settimeout(left)
            data = self._socket.recv(1 << 18)
            if not data:
                raise ConnectionResetError(self._why_ended)
            for frame in self._decoder.feed(data):
                if self.greeted:
                    self._frames.append(frame)
                else:
                    wire.check_hello(frame)
                    self.greeted = True
        return self._frames.pop(0)


def _connect(address: str, timeout_s: float, secret: str) -> socket.socket:
    """``tcp://host:port/worker``, or the path of a unix socket."""
    far = parse_address(address)
    if far is not None:
        return tcp.connect(far, secret, timeout_s)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
