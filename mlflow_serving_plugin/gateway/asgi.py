"""Drives the core from an ASGI server: one coroutine per request, all I/O on the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.core import Gateway
from mlflow_serving_plugin.gateway.limits import BodyBuffer
from mlflow_serving_plugin.gateway.messages import Head, Pause, ReadBody, Reply, RunBlocking, Step, Steps
from mlflow_serving_plugin.links.base import AsyncLink, LinkContext, no_protocol
from mlflow_serving_plugin.links.calls import WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.http_async import AsyncHttpLink

_logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


_LOOK_S = 0.1
_BODY_PAUSES = 10
"""A whole body may take as long as so many of the longest pauses."""

_PIECE_BYTES = 256 * 1024
"""Of a reply; the next one is not given away before most of this one has been taken."""


class _ClientGoneError(Exception):
    """The client has disconnected: nobody wants an answer."""


class AsgiGateway:
    """The gateway as an ASGI application; belongs to one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        context = LinkContext(gateway.snapshot, gateway.nudge, gateway.settings.overdue_grace_s)
        self._clients = _Clients()
        self._links: dict[str, AsyncLink] = {
            "http": AsyncHttpLink(context),
            "frames": AsyncFrameLink(context),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send, path: str) -> None:
        """Answer one HTTP request. ``path`` is the scope's without the static prefix."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = _Client(receive, self._gateway.settings.body_timeout_s)
        self._clients.add(client)
        if not self._gateway.settings.access_log:
            _leave_out_of_access_log(send)
        steps = self._gateway.respond(Head(scope["method"], path, headers))
        try:
            reply = await self._drive(steps, client)
        except _ClientGoneError:
            return
        finally:
            steps.close()
            self._clients.remove(client)
        raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers})
        if len(reply.body) > _PIECE_BYTES:
            await _send_in_pieces(send, reply.body, self._gateway.settings.body_timeout_s)
        else:
            await send({"type": "http.response.body", "body": reply.body})

    async def close(self) -> None:
        """Close all connections to workers."""
        for link in self._links.values():
            await link.close()

    async def _drive(self, steps: Steps[Reply], client: _Client) -> Reply:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._take(step, client)
                except _ClientGoneError:
                    raise
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            reply: Reply = stop.value
            return reply

    async def _take(self, step: Step, client: _Client) -> Any:
        if isinstance(step, WorkerCall):
            link = self._links.get(step.worker.protocol)
            if link is None:
                raise no_protocol(step)
            return await client.unless_gone(link.call(step))
        if isinstance(step, ReadBody):
            return await client.read_body(step)
        if isinstance(step, Pause):
            return await client.unless_gone(asyncio.sleep(step.seconds))
        return await _in_thread(step)


class _Client:
    """The client's end of one request: its body, and whether it is still there."""

    __slots__ = (
        "_began",
        "_body_read",
        "_body_timeout_s",
        "_gone",
        "_paused",
        "_receive",
        "_since",
        "_task",
        "_waiting",
    )

    def __init__(self, receive: Receive, body_timeout_s: float) -> None:
        self._receive = receive
        self._body_timeout_s = body_timeout_s
        self._body_read = False
        self._paused = False
        self._began = 0.0
        self._since = 0.0
        self._task: asyncio.Task[Any] | None = None
        self._waiting: Awaitable[Any] | None = None
        self._gone: asyncio.Task[None] | None = None

    async def read_body(self, step: ReadBody) -> bytes:
        """The whole body; BodyTooLargeError, BadRequestError when the client pauses for too long."""
        buffer = BodyBuffer(step.max_bytes, step.share)
        more = True
        self._task = asyncio.current_task()
        try:
            while more:
                self._since = 0.0
                message = await self._receive()
                if message["type"] == "http.disconnect":
                    raise _ClientGoneError
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
        """The work's result; cancels it and raises _ClientGoneError when the client leaves before."""
        self._waiting = work
        try:
            return await work
        except asyncio.CancelledError:
            if self._gone is None or not self._gone.done():
                raise
            raise _ClientGoneError from None
        finally:
            self._waiting = None

    def look(self, now: float) -> None:
        """Called again and again from outside while the request lasts: end what lasts too long or is in vain."""
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
        """Stop looking whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()

    def _interrupt(self, gone: asyncio.Task[None]) -> None:
        if self._waiting is not None and self._task is not None and not gone.cancelled():
            self._task.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


class _Clients:
    """All requests under way, looked at every ``_LOOK_S``: one timer for all, since most end before it fires."""

    def __init__(self) -> None:
        self._clients: set[_Client] = set()
        self._ticking = False

    def add(self, client: _Client) -> None:
        """A request begins."""
        self._clients.add(client)
        if not self._ticking:
            self._ticking = True
            asyncio.get_running_loop().call_later(_LOOK_S, self._tick)

    def remove(self, client: _Client) -> None:
        """A request has ended."""
        self._clients.discard(client)
        client.close()

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        for client in list(self._clients):
            client.look(loop.time())
        self._ticking = bool(self._clients)
        if self._ticking:
            loop.call_later(_LOOK_S, self._tick)


async def _send_in_pieces(send: Send, body: bytes, longest_pause_s: float) -> None:
    """Send a large reply as the client takes it; cut off one that does not, for it keeps all of it in memory."""
    try:
        for start in range(0, len(body), _PIECE_BYTES):
            more = start + _PIECE_BYTES < len(body)
            piece = {"type": "http.response.body", "body": body[start : start + _PIECE_BYTES], "more_body": more}
            await asyncio.wait_for(send(piece), longest_pause_s)
    except asyncio.TimeoutError:
        _logger.info("A client was cut off: it took nothing of its reply for %g s.", longest_pause_s)
        # Closing would wait for the client; returning makes uvicorn do just that where it has no such attribute.
        transport = getattr(getattr(send, "__self__", None), "transport", None)
        if transport is not None:
            transport.abort()


def _leave_out_of_access_log(send: Send) -> None:
    """Have uvicorn write no access line for this request: of thousands a second they cost a tenth of the time.

    ``send`` is a method of uvicorn's request cycle (0.20 to 0.54 at least), whose flag decides. Under any other
    server, or another uvicorn, there is a line, and nothing else is different.
    """
    cycle = getattr(send, "__self__", None)
    if getattr(cycle, "access_log", None) is True:
        cycle.access_log = False  # type: ignore[union-attr]


async def _in_thread(step: RunBlocking) -> Any:
    return await asyncio.to_thread(step.function)
