"""The client of a request under ASGI: reads the request body, notices a disconnect, sends the reply body."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.connections import Message, Receive, Send, cut_off
from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.limits import BodyBuffer
from mlflow_serving_plugin.gateway.messages import ReadBody

_logger = logging.getLogger(__name__)

_CHECK_S = 0.1
_BODY_PAUSES = 10
"""A whole body may take as long as so many of the longest pauses."""

_PIECE_BYTES = 256 * 1024
"""Of a reply; the next piece is not handed to the server before the client has taken most of this one."""


class ClientGoneError(Exception):
    """The client has disconnected."""


@dataclass(slots=True, eq=False)
class Client:
    """The client of one request."""

    _receive: Receive
    _send: Send
    _body_timeout_s: float
    _body_read: bool = False
    _paused: bool = False
    """Whether the body took too long."""
    _began: float = 0.0
    """By the loop's clock, as ``_since``, the beginning of the present pause. 0: not noted yet."""
    _since: float = 0.0
    _task: asyncio.Task[Any] | None = None
    _waiting: Awaitable[Any] | None = None
    _gone: asyncio.Task[None] | None = None
    """Ends when the client has left."""

    @property
    def unread(self) -> bool:
        """Whether the client may still be sending its body. A client that paused for too long is not waited for."""
        return not (self._body_read or self._paused)

    async def read_body(self, step: ReadBody) -> bytes:
        """The whole body; BodyTooLargeError, BadRequestError when the client pauses for too long."""
        buffer = BodyBuffer(step.max_bytes, step.reservation)
        more = True
        self._task = asyncio.current_task()
        try:
            while more:
                self._since = 0.0
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise ClientGoneError
                buffer.add(message.get("body", b""))
                more = message.get("more_body", False)
        except asyncio.CancelledError:
            if not self._paused:
                raise
            paused = f"The client paused for {self._body_timeout_s:g} s within its body"
            raise BadRequestError(f"{paused}, or took {_BODY_PAUSES} times as long for all of it.") from None
        self._body_read = True
        return buffer.join()

    async def unless_gone(self, work: Awaitable[Any]) -> Any:
        """The work's result; cancels the work and raises ClientGoneError when the client leaves before."""
        if self._gone is not None and self._gone.done():
            if isinstance(work, Coroutine):
                work.close()
            raise ClientGoneError
        self._waiting = work
        try:
            return await work
        except asyncio.CancelledError:
            if self._gone is None or not self._gone.done():
                raise
            raise ClientGoneError from None
        finally:
            self._waiting = None

    async def send(self, piece: bytes) -> None:
        """Send a part of the reply's body; ClientGoneError when the client does not take it."""
        if not await send_piece(self._send, piece, self._body_timeout_s):
            raise ClientGoneError

    def check(self, now: float) -> None:
        """Called every ``_CHECK_S``: end a body that takes too long, and work whose client has left."""
        new = not self._since
        if new:
            self._since = now
            self._began = self._began or now
        if not self._body_read:
            late = now - self._since > self._body_timeout_s or now - self._began > _BODY_PAUSES * self._body_timeout_s
            if late and self._task is not None and not self._paused:
                self._paused = True
                self._task.cancel()
        elif not new and self._waiting is not None and self._gone is None:
            self._gone = asyncio.ensure_future(self._until_gone())
            self._gone.add_done_callback(self._interrupt)

    def close(self) -> None:
        """Stop watching whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()

    def _interrupt(self, gone: asyncio.Task[None]) -> None:
        if self._waiting is not None and self._task is not None and not gone.cancelled():
            self._task.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class Clients:
    """All clients, checked every ``_CHECK_S`` by one timer: most requests end before the timer fires."""

    def __init__(self) -> None:
        self._clients: set[Client] = set()
        self._ticking = False

    def add(self, client: Client) -> None:
        """A request begins."""
        self._clients.add(client)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(_CHECK_S, self._tick)

    def remove(self, client: Client) -> None:
        """A request has ended."""
        self._clients.discard(client)
        client.close()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for client in list(self._clients):
            client.check(loop.time())
        self._ticking = bool(self._clients)
        if self._ticking:
            loop.call_later(_CHECK_S, self._tick)


async def send_body(send: Send, body: bytes, longest_pause_s: float) -> None:
    """Send a whole body, a large one as the client reads it, so that a client that does not read is noticed."""
    if len(body) <= _PIECE_BYTES:
        await send({"type": "http.response.body", "body": body})
        return
    for start in range(0, len(body), _PIECE_BYTES):
        more = start + _PIECE_BYTES < len(body)
        if not await send_piece(send, body[start : start + _PIECE_BYTES], longest_pause_s, more=more):
            return


async def send_piece(send: Send, piece: bytes, longest_pause_s: float, *, more: bool = True) -> bool:
    """Send a part of a body. A client that takes nothing for so long is disconnected; False then."""
    message = {"type": "http.response.body", "body": piece, "more_body": more}
    try:
        await asyncio.wait_for(send(message), longest_pause_s)
    except asyncio.TimeoutError:
        _logger.info("A client was disconnected: it took nothing of its reply for %g s.", longest_pause_s)
        cut_off(send)
        return False
    return True


def closes_connection(scope: Message) -> bool:
    """Whether the client takes no answer after this one on its connection."""
    if scope.get("http_version") == "1.0":
        return True
    return any(name.lower() == b"connection" and b"close" in value.lower() for name, value in scope["headers"])


def keep_alive(send: Send, on: bool) -> None:
    """Say whether the connection takes a request after this one; see ``stopping``. Only uvicorn's can be told."""
    cycle = getattr(send, "__self__", None)
    if hasattr(cycle, "keep_alive"):
        cycle.keep_alive = on  # type: ignore[union-attr]


def stopping(send: Send) -> bool:
    """Whether the connection takes no request after this one, as when uvicorn stops.

    ``send`` is a method of uvicorn's request cycle (0.20 to 0.54 at least). Under another server: False.
    """
    return getattr(getattr(send, "__self__", None), "keep_alive", True) is False
