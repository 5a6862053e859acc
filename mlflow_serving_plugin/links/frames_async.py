"""The ``frames`` protocol from an event loop: one connection per worker, so that requests are batched."""

from __future__ import annotations

import asyncio
from functools import partial

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.links.base import LinkContext, LiveAddresses, WorkerCall, WorkerReply
from mlflow_serving_plugin.links.multiplexed import MultiplexedConnection
from mlflow_serving_plugin.worker import wire

_CONNECT_S = 5.0


class AsyncFrameLink:
    """One connection per worker. Belongs to one event loop."""

    def __init__(self, context: LinkContext) -> None:
        self.context = context
        self._live = LiveAddresses(context.snapshot)
        self._connections: dict[str, MultiplexedConnection] = {}
        self._all: set[MultiplexedConnection] = set()
        """Open connections, including those on which the worker has said goodbye."""
        self._opening: dict[str, asyncio.Task[MultiplexedConnection]] = {}

    async def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer. When the call is cancelled, the worker is told so."""
        address = call.worker.address
        connection = self._connections.get(address)
        if connection is None or not connection.usable:
            connection = await self._connect(call)
            if not connection.usable:
                raise call.lost("it closed the connection", sent=False)
        if call.careful:
            await connection.ping(call)
            if not connection.usable:
                raise call.lost("it takes no more requests", sent=False)
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

    def _forget(self, connection: MultiplexedConnection) -> None:
        self._all.discard(connection)
        for address in [address for address, known in self._connections.items() if known is connection]:
            del self._connections[address]

    async def _connect(self, call: WorkerCall) -> MultiplexedConnection:
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

    def _opened(self, address: str, opening: asyncio.Task[MultiplexedConnection]) -> None:
        self._opening.pop(address, None)
        if not opening.cancelled():
            opening.exception()  # those who wait for the connection get the error; nobody may be left

    async def _open(self, worker: WorkerRoute) -> MultiplexedConnection:
        loop = asyncio.get_running_loop()
        protocol = partial(MultiplexedConnection, self.context, worker.secret.encode(), self._all.add, self._forget)
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
