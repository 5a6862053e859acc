"""The ``http`` protocol: HTTP/1.1 on a worker's unix socket, with aiohttp.

From threads the same link is called on an event loop that runs in a thread of its own: a worker of this protocol takes
tens of milliseconds a request, the way to that thread and back a tenth of one.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from mlflow_serving_plugin.host.messages import Overdue
from mlflow_serving_plugin.links.base import LinkContext, LiveAddresses, WorkerCall, WorkerReply
from mlflow_serving_plugin.worker.tensor_body import TENSORS, as_json

_IDLE_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which the stock server's uvicorn closes it."""

_URL, _PING_URL = "http://worker/invocations", "http://worker/ping"
_PING_S = 2.0
"""How long a worker has to answer a ping. Its predictions run in threads, so only a stuck process needs longer."""

_NO_STREAM = json.dumps(
    {
        "error_code": "BAD_REQUEST",
        "message": "The runtime mlflow ('mlflow models serve') cannot stream answers: set the endpoint's runtime to "
        'native, or send the request without "stream": true.',
    }
).encode()
_NOT_SENT = ("Accept", "Accept-Encoding", "User-Agent")


@dataclass(slots=True)
class _Pool:
    session: aiohttp.ClientSession
    busy: int = 0


@dataclass(slots=True)
class _Attempt:
    """How far an attempt got."""

    reused: bool = False
    received: bool = False


class AsyncHttpLink:
    """One aiohttp session per worker. Belongs to one event loop."""

    def __init__(self, context: LinkContext) -> None:
        self._context = context
        self._live = LiveAddresses(context.snapshot)
        self._pools: dict[str, _Pool] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer. When the call is cancelled, the request to the worker is too."""
        if call.stream:
            return WorkerReply(400, "application/json", _NO_STREAM)
        if call.content_type == TENSORS:
            call = call._replace(content_type="application/json", body=as_json(call.body))
        request = asyncio.ensure_future(self._post(call))
        try:
            done, _ = await asyncio.wait({request}, timeout=call.timeout_s)
        except asyncio.CancelledError:
            request.cancel()
            raise
        if done:
            return request.result()
        watcher = asyncio.ensure_future(self._watch_overdue(request, call))
        self._watchers.add(watcher)
        watcher.add_done_callback(self._watchers.discard)
        raise call.timed_out()

    async def close(self) -> None:
        """Stop watching overdue calls and close all connections."""
        watchers = list(self._watchers)
        for watcher in watchers:
            watcher.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)
        pools, self._pools = self._pools, {}
        for pool in pools.values():
            await pool.session.close()

    async def _post(self, call: WorkerCall) -> WorkerReply:
        address = call.worker.address
        await self._drop_gone()
        pool = self._pools.get(address)
        if pool is None:
            pool = self._pools[address] = _Pool(_open_session(address))
        attempt = _Attempt()
        pool.busy += 1
        try:
            return await _exchange(pool.session, call, attempt)
        except (aiohttp.ClientError, OSError) as error:
            # A kept connection that the worker closed just now: neither the request nor the worker is at fault.
            if not attempt.reused or attempt.received:
                sent = not isinstance(error, aiohttp.ClientConnectorError)
                raise call.lost(error, sent=sent) from error
        finally:
            pool.busy -= 1
        try:
            async with _open_session(address) as fresh:
                return await _exchange(fresh, call, _Attempt())
        except (aiohttp.ClientError, OSError) as error:
            # The first attempt may have ended the worker, so the second attempt counts as sent in any case.
            raise call.lost(error, sent=True) from error

    async def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        # A pool with calls under way is dropped at a later snapshot: closing its session would break the calls.
        gone = [address for address, pool in self._pools.items() if not pool.busy and address not in self._live]
        for session in [self._pools.pop(address).session for address in gone]:
            await session.close()

    async def _watch_overdue(self, request: asyncio.Task[WorkerReply], call: WorkerCall) -> None:
        try:
            await asyncio.wait({request}, timeout=self._context.overdue_grace_s)
            if not request.done():
                answers = await _answers_ping(call.worker.address)
                self._context.nudge(Overdue(call.worker.worker_id, answers))
        finally:
            request.cancel()
            # Awaited, so that its outcome is retrieved and its connection returns to the pool.
            await asyncio.gather(request, return_exceptions=True)


class BlockingHttpLink:
    """The link for threads. Thread-safe; a forked process starts its own event loop."""

    def __init__(self, context: LinkContext) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._loop: _LoopThread | None = None

    def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer."""
        with self._lock:
            if self._loop is None or self._loop.pid != os.getpid():
                self._loop = _LoopThread(AsyncHttpLink(self._context))
            loop = self._loop
        return loop.call(call)

    def close(self) -> None:
        """Stop watching overdue calls, close all connections, end the thread."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None and loop.pid == os.getpid():
            loop.close()


class _LoopThread:
    """An event loop in a thread, and the link that lives there."""

    def __init__(self, link: AsyncHttpLink) -> None:
        self.pid = os.getpid()
        self._link = link
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http-link", daemon=True)
        self._thread.start()

    def call(self, call: WorkerCall) -> WorkerReply:
        return asyncio.run_coroutine_threadsafe(self._link.call(call), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._link.close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _exchange(session: aiohttp.ClientSession, call: WorkerCall, attempt: _Attempt) -> WorkerReply:
    headers = {"Content-Type": call.content_type}
    async with session.post(_URL, data=call.body, headers=headers, trace_request_ctx=attempt) as response:
        attempt.received = True
        body = await response.read()
        return WorkerReply(response.status, response.headers.get("Content-Type", ""), body)


async def _answers_ping(address: str) -> bool:
    timeout = aiohttp.ClientTimeout(total=_PING_S)
    try:
        async with _open_session(address) as session, session.get(_PING_URL, timeout=timeout):
            return True
    except (aiohttp.ClientError, OSError, asyncio.TimeoutError):
        return False


def _open_session(address: str) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path=address, limit=0, keepalive_timeout=_IDLE_S),
        # Our own timeout stands around each call; aiohttp's would cut a prediction that is merely long.
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=_NOT_SENT,
        auto_decompress=False,
        trace_configs=[trace],
    )


async def _note_reuse(
    _session: aiohttp.ClientSession, context: SimpleNamespace, _params: aiohttp.TraceConnectionReuseconnParams
) -> None:
    context.trace_request_ctx.reused = True
