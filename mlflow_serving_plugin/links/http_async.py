"""The ``http`` protocol from an event loop: HTTP/1.1 on a worker's unix socket, with aiohttp."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from types import SimpleNamespace

import aiohttp

from mlflow_serving_plugin.links.base import IDLE_S, LinkContext, LiveAddresses, took_too_long
from mlflow_serving_plugin.links.calls import LostError, WorkerCall, WorkerReply

_URL = "http://worker/invocations"
_NOT_SENT = ("Accept", "Accept-Encoding", "User-Agent")


@dataclass(slots=True)
class _Pool:
    session: aiohttp.ClientSession
    busy: int = 0


@dataclass(slots=True)
class _Attempt:
    """What is known of one attempt when it fails."""

    reused: bool = False
    received: bool = False


class AsyncHttpLink:
    """One aiohttp session per worker. Belongs to one event loop."""

    def __init__(self, context: LinkContext) -> None:
        self._surroundings = context
        self._live = LiveAddresses(context.snapshot)
        self._pools: dict[str, _Pool] = {}
        self._watchers: set[asyncio.Task[None]] = set()

    async def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer. Cancelled, it cancels the request to the worker too."""
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
        raise took_too_long(call)

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
            # A kept connection that the worker closed just now: nothing is wrong with either.
            if not attempt.reused or attempt.received:
                raise _lost(call, error) from error
        finally:
            pool.busy -= 1
        try:
            async with _open_session(address) as fresh:
                return await _exchange(fresh, call, _Attempt())
        except (aiohttp.ClientError, OSError) as error:
            # The first attempt may have been what ended the worker, so this one counts as sent in any case.
            raise _lost(call, error, sent=True) from error

    async def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        # One with calls in hand goes at a later snapshot: closing its session would break them.
        gone = [address for address, pool in self._pools.items() if not pool.busy and address not in self._live]
        for session in [self._pools.pop(address).session for address in gone]:
            await session.close()

    async def _watch_overdue(self, request: asyncio.Task[WorkerReply], call: WorkerCall) -> None:
        try:
            await asyncio.wait({request}, timeout=self._surroundings.overdue_grace_s)
            if not request.done():
                self._surroundings.nudge(call.overdue)
        finally:
            request.cancel()
            # Waited for, so that its outcome is looked at and its connection is given back.
            await asyncio.gather(request, return_exceptions=True)


async def _exchange(session: aiohttp.ClientSession, call: WorkerCall, attempt: _Attempt) -> WorkerReply:
    headers = {"Content-Type": call.content_type}
    async with session.post(_URL, data=call.body, headers=headers, trace_request_ctx=attempt) as response:
        attempt.received = True
        body = await response.read()
        return WorkerReply(response.status, response.headers.get("Content-Type", ""), body)


def _open_session(address: str) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()
    trace.on_connection_reuseconn.append(_note_reuse)
    return aiohttp.ClientSession(
        connector=aiohttp.UnixConnector(path=address, limit=0, keepalive_timeout=IDLE_S),
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


def _lost(call: WorkerCall, error: Exception, *, sent: bool | None = None) -> LostError:
    if sent is None:
        sent = not isinstance(error, aiohttp.ClientConnectorError)
    return LostError(f"Worker {call.worker.worker_id}: {error or type(error).__name__}", sent=sent)
