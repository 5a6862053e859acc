"""Drives the core from an ASGI server: one coroutine per request, all I/O on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mlflow_serving_plugin.connections import Message, Receive, Send, send_last
from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.asgi_client import (
    Client,
    ClientGoneError,
    Clients,
    closes_connection,
    keep_alive,
    send_body,
    stopping,
)
from mlflow_serving_plugin.gateway.asides import AsyncAsides
from mlflow_serving_plugin.gateway.core import Gateway
from mlflow_serving_plugin.gateway.lanes import Lanes
from mlflow_serving_plugin.gateway.messages import (
    Aside,
    Head,
    Pause,
    Piece,
    Pieces,
    ReadBody,
    Reply,
    RunBlocking,
    Step,
    Steps,
    T,
)
from mlflow_serving_plugin.links.base import AsyncLink, LinkContext, WorkerCall, link_for
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.http import AsyncHttpLink
from mlflow_serving_plugin.links.stream_async import AsyncStream

_NO_CLIENT = ("", 0)
_LOOK_S = 1.0
"""How often a stream looks whether the server stops."""


class AsgiGateway:
    """The gateway as an ASGI application; belongs to one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        context = LinkContext(gateway.snapshot, gateway.nudge, gateway.settings.overdue_grace_s)
        self._clients = Clients()
        self._lanes = Lanes()
        self._asides = AsyncAsides(lambda steps: self._drive(steps, Client(_nothing, _nowhere, 0.0)))
        self._links: dict[str, AsyncLink] = {
            "http": AsyncHttpLink(context),
            "frames": AsyncFrameLink(context),
        }

    def __call__(self, scope: Message, receive: Receive, send: Send, path: str) -> Awaitable[None]:
        """Answer one HTTP request. ``path`` is the scope's without the static prefix."""
        if not self._gateway.settings.access_log:
            _leave_out_of_access_log(send)
        return self.serve(self._gateway.respond, scope, receive, send, path)

    async def serve(
        self, respond: Callable[[Head], Steps[Reply]], scope: Message, receive: Receive, send: Send, path: str
    ) -> None:
        """Answer one HTTP request with the reply that ``respond`` comes to."""
        client = Client(receive, send, self._gateway.settings.body_timeout_s)
        self._clients.add(client)
        head = _head(scope, path)
        steps = respond(head)
        try:
            reply = await self._drive(steps, client)
            raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
            start = {"type": "http.response.start", "status": reply.status, "headers": raw_headers}
            if isinstance(reply.body, Pieces):
                await self._send_pieces(start, reply.body, client, send, last=closes_connection(scope))
                return
        except ClientGoneError:
            return
        finally:
            steps.close()
            self._clients.remove(client)
        await send(start)
        if client.unread and not {"content-length", "transfer-encoding"}.isdisjoint(head.headers):
            await send_last(receive, send, {"type": "http.response.body", "body": reply.body})
        else:
            await send_body(send, reply.body, self._gateway.settings.body_timeout_s)
        if reply.after is not None:
            reply.after(self._asides.start)

    async def close(self) -> None:
        """End asides and close all connections to workers."""
        await self._asides.close()
        self._lanes.close()
        for link in self._links.values():
            await link.close()

    async def _send_pieces(self, start: Message, pieces: Pieces, client: Client, send: Send, *, last: bool) -> None:
        """``last``: the client asks for the end of the connection after this answer."""
        ending = None
        try:
            await send(start)
            if last:
                # Until the end of the answer, so that only a server that stops says otherwise.
                keep_alive(send, True)
            ending = asyncio.create_task(self._cut_when_stopping(pieces, send))
            await self._drive(pieces.steps(), client)
            if last:
                keep_alive(send, False)
            await send({"type": "http.response.body", "body": b""})
        finally:
            if ending is not None:
                ending.cancel()
            pieces.close()

    async def _cut_when_stopping(self, pieces: Pieces, send: Send) -> None:
        """A server that stops waits for its open connections, and a stream may have no end."""
        while not stopping(send):
            await asyncio.sleep(_LOOK_S)
        await asyncio.sleep(self._gateway.settings.stop_grace_s)
        stream = cast("AsyncStream", pieces.stream)
        stream.cut(UnavailableError("The server stops, and this stream with it."))

    async def _drive(self, steps: Steps[T], client: Client) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = await self._take(step, client)
                except ClientGoneError:
                    raise
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return cast("T", stop.value)

    async def _take(self, step: Step, client: Client) -> Any:
        if isinstance(step, WorkerCall):
            return await client.unless_gone(link_for(self._links, step).call(step))
        if isinstance(step, ReadBody):
            return await client.read_body(step)
        if isinstance(step, Pause):
            return await client.unless_gone(asyncio.sleep(step.seconds))
        if isinstance(step, RunBlocking):
            return await self._lanes.run(step)
        if isinstance(step, Aside):
            return self._asides.start(step)
        return await (client.send(step.body) if isinstance(step, Piece) else client.unless_gone(step.stream.take()))


def _head(scope: Message, path: str) -> Head:
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    client = scope.get("client") or _NO_CLIENT
    return Head(
        scope["method"], path, headers, None, client[0], scope.get("query_string", b""), scope.get("scheme", "")
    )


def _leave_out_of_access_log(send: Send) -> None:
    """Have uvicorn write no access line for this request: at thousands of requests a second, the lines cost a tenth.

    ``send`` is a method of uvicorn's request cycle (0.20 to 0.54 at least), whose flag decides. Under any other
    server, or another uvicorn, there is a line, and nothing else is different.
    """
    cycle = getattr(send, "__self__", None)
    if getattr(cycle, "access_log", None) is True:
        cycle.access_log = False  # type: ignore[union-attr]


async def _nothing() -> Message:
    """An aside has no client, so none that sends."""
    raise ClientGoneError


async def _nowhere(_: Message) -> None:
    raise ClientGoneError
