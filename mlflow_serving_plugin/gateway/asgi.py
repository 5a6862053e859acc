"""Drives the core from an ASGI server: one coroutine per request, all I/O on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.core import Gateway
from mlflow_serving_plugin.gateway.limits import BodyBuffer
from mlflow_serving_plugin.gateway.link import AsyncLink, Surroundings, no_protocol
from mlflow_serving_plugin.gateway.link_async import AsyncHttpLink
from mlflow_serving_plugin.gateway.link_frames import AsyncFrameLink
from mlflow_serving_plugin.gateway.messages import Head, Pause, ReadBody, Reply, RunBlocking, Step, Steps, WorkerCall

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _ClientGoneError(Exception):
    """The client has disconnected: nobody wants an answer."""


class AsgiGateway:
    """The gateway as an ASGI application; belongs to one event loop."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        surroundings = Surroundings(gateway.snapshot, gateway.nudge, gateway.settings.overdue_grace_s)
        self._links: dict[str, AsyncLink] = {
            "http": AsyncHttpLink(surroundings),
            "frames": AsyncFrameLink(surroundings),
        }

    async def __call__(self, scope: Message, receive: Receive, send: Send, path: str) -> None:
        """Answer one HTTP request. ``path`` is the scope's without the static prefix."""
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        client = _Client(receive, self._gateway.settings.body_timeout_s)
        steps = self._gateway.respond(Head(scope["method"], path, headers))
        try:
            reply = await self._drive(steps, client)
        except _ClientGoneError:
            return
        finally:
            steps.close()
            client.close()
        raw_headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in reply.headers]
        await send({"type": "http.response.start", "status": reply.status, "headers": raw_headers})
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
            return await client.pause(step.seconds)
        return await _in_thread(step)


class _Client:
    """The client's end of one request: its body, and whether it is still there."""

    def __init__(self, receive: Receive, body_timeout_s: float) -> None:
        self._receive = receive
        self._body_timeout_s = body_timeout_s
        self._body_read = False
        self._gone: asyncio.Task[None] | None = None

    async def read_body(self, step: ReadBody) -> bytes:
        """The whole body; BodyTooLargeError, BadRequestError when the client pauses for too long."""
        buffer = BodyBuffer(step.max_bytes)
        more = True
        while more:
            try:
                message = await asyncio.wait_for(self._receive(), self._body_timeout_s)
            except asyncio.TimeoutError:
                raise BadRequestError(f"The request body was not complete within {self._body_timeout_s:g} s.") from None
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            buffer.add(message.get("body", b""))
            more = message.get("more_body", False)
        self._body_read = True
        return buffer.join()

    async def pause(self, seconds: float) -> None:
        """Let time pass, or raise _ClientGoneError as soon as the client leaves."""
        if not self._body_read:
            # Messages still hold the body here, so a disconnect is seen only when that is read.
            await asyncio.sleep(seconds)
            return
        gone = self._watch()
        await asyncio.wait({gone}, timeout=seconds)
        if gone.done():
            raise _ClientGoneError

    async def unless_gone(self, work: Awaitable[Any]) -> Any:
        """The work's result; cancels it and raises _ClientGoneError when the client leaves before."""
        task = asyncio.ensure_future(work)
        gone = self._watch()
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
        if task.done() and not task.cancelled():
            return task.result()
        raise _ClientGoneError

    def close(self) -> None:
        """Stop looking whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()

    def _watch(self) -> asyncio.Task[None]:
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._until_gone())
        return self._gone

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _in_thread(step: RunBlocking) -> Any:
    return await asyncio.to_thread(step.function)
