"""The ``frames`` protocol from an event loop: one connection per worker, so that requests are batched."""

from __future__ import annotations

import asyncio
import contextlib
from functools import partial

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.links.base import LinkContext, LiveAddresses, WorkerCall, WorkerReply
from mlflow_serving_plugin.links.multiplexed import MultiplexedConnection
from mlflow_serving_plugin.links.pulse import SILENT, Node, Pulses
from mlflow_serving_plugin.links.tcp import connect_async
from mlflow_serving_plugin.relay.proof import parse_address

_CONNECT_S = 5.0
_CONNECT_FAR_S = 2.0
"""To another host, which answers at once or is lost."""


class AsyncFrameLink:
    """One connection per worker. Belongs to one event loop."""

    def __init__(self, context: LinkContext) -> None:
        self.context = context
        self._live = LiveAddresses(context.snapshot)
        self._connections: dict[str, MultiplexedConnection] = {}
        self._all: set[MultiplexedConnection] = set()
        """Open connections, including those on which the worker has said goodbye."""
        self._opening: dict[str, asyncio.Task[MultiplexedConnection]] = {}
        self._pulses: Pulses | None = None
        """Of the nodes of workers on other hosts; None while there are none."""

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
        if self._pulses is not None:
            self._pulses.close()

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
        far = parse_address(worker.address)
        protocol = partial(MultiplexedConnection, self.context, self._all.add, self._forget, node=far and far.node)
        if far is None:
            opened = loop.create_unix_connection(protocol, worker.address)
            _, connection = await asyncio.wait_for(opened, _CONNECT_S)
        else:
            if self._watched().silent(far, worker.secret):
                raise ConnectionError(SILENT)
            connection = await asyncio.wait_for(connect_async(far, worker.secret, protocol), _CONNECT_FAR_S)
        # The peer's first bytes may have ended the connection already.
        if connection.usable:
            self._connections[worker.address] = connection
        return connection

    def _watched(self) -> Pulses:
        if self._pulses is None:
            loop = asyncio.get_running_loop()

            def lost(node: Node) -> None:
                with contextlib.suppress(RuntimeError):  # the loop is closed
                    loop.call_soon_threadsafe(self._lose, node)

            self._pulses = Pulses(lost)
        return self._pulses

    def _lose(self, node: Node) -> None:
        """A node is silent: its requests are for other workers."""
        for connection in [connection for connection in self._all if connection.node == node]:
            connection.lose(SILENT)

    def _drop_gone(self) -> None:
        if not self._live.changed():
            return
        if self._pulses is not None:
            self._pulses.keep(self._live.addresses)
        for address, connection in list(self._connections.items()):
            if address not in self._live and not connection.busy:
                connection.close()
