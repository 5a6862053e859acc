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


_WATCH_AFTER_S = 0.1


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
        self._waits: asyncio.Task[Any] | None = None

    async def read_body(self, step: ReadBody) -> bytes:
        """The whole body; BodyTooLargeError, BadRequestError when the client pauses for too long."""
        buffer = BodyBuffer(step.max_bytes)
        more = True
        while more:
            message = await self._next_message()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            buffer.add(message.get("body", b""))
            more = message.get("more_body", False)
        self._body_read = True
        return buffer.join()

    async def _next_message(self) -> Message:
        # asyncio.timeout() and wait_for() cost a tenth of the whole request, and nearly always it is there already.
        here = asyncio.current_task()
        assert here is not None  # noqa: S101 - a server runs each request in a task
        paused = False

        def interrupt() -> None:
            nonlocal paused
            paused = True
            here.cancel()

        timer = asyncio.get_running_loop().call_later(self._body_timeout_s, interrupt)
        try:
            return await self._receive()
        except asyncio.CancelledError:
            if not paused:
                raise
            raise BadRequestError(f"The client paused for {self._body_timeout_s:g} s within its body.") from None
        finally:
            timer.cancel()

    async def pause(self, seconds: float) -> None:
        """Let time pass, or raise _ClientGoneError as soon as the client leaves."""
        if not self._body_read:
            # Messages still hold the body here, so a disconnect is seen only when that is read.
            await asyncio.sleep(seconds)
            return
        await self.unless_gone(asyncio.sleep(seconds), watch_after_s=0)

    async def unless_gone(self, work: Awaitable[Any], watch_after_s: float = _WATCH_AFTER_S) -> Any:
        """The work's result; cancels it and raises _ClientGoneError when the client leaves before.

        Most answers come sooner than a look at the client would pay: it costs a task.
        """
        here = asyncio.current_task()
        assert here is not None  # noqa: S101 - a server runs each request in a task
        timer = asyncio.get_running_loop().call_later(watch_after_s, self._watch, here)
        try:
            return await work
        except asyncio.CancelledError:
            if self._gone is None or not self._gone.done():
                raise
            raise _ClientGoneError from None
        finally:
            timer.cancel()
            self._waits = None

    def close(self) -> None:
        """Stop looking whether the client is there."""
        if self._gone is not None:
            self._gone.cancel()

    def _watch(self, waits: asyncio.Task[Any]) -> None:
        self._waits = waits
        if self._gone is None:
            self._gone = asyncio.ensure_future(self._until_gone())
            self._gone.add_done_callback(self._interrupt)
        elif self._gone.done():
            waits.cancel()

    def _interrupt(self, gone: asyncio.Task[None]) -> None:
        if self._waits is not None and not gone.cancelled():
            self._waits.cancel()

    async def _until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass


async def _in_thread(step: RunBlocking) -> Any:
    return await asyncio.to_thread(step.function)
