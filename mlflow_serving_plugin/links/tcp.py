"""Opens connections to relays of other hosts: either side proves that it knows the worker's secret."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import TypeVar, cast

from mlflow_serving_plugin.relay.proof import (
    CALLS,
    HELLO_BYTES,
    PROOF_BYTES,
    Address,
    Claim,
    ProofError,
    read_hello,
    same,
)
from mlflow_serving_plugin.relay.tls import gateway_context

P = TypeVar("P", bound=asyncio.Protocol)


class RefusedError(ProofError):
    """The relay answers, and has no such worker with this secret."""

    def __init__(self) -> None:
        super().__init__("its node has no such worker")


def connect(address: Address, secret: str, timeout_s: float, purpose: bytes = CALLS) -> socket.socket:
    """A connection with both proofs behind it; OSError. ``timeout_s``: for each send and receive."""
    context = gateway_context()
    connection = socket.create_connection(address.node, timeout_s)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            connection = context.wrap_socket(connection, server_hostname=address.host)
        claim = _claim(purpose, address, _receive(connection, HELLO_BYTES))
        connection.sendall(claim.answer(secret))
        _check(_receive(connection, PROOF_BYTES), claim, secret)
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(address: Address, secret: str, protocol: Callable[[], P]) -> P:
    """The same from an event loop, without a timeout; OSError. The connection is the protocol's from then on."""
    loop = asyncio.get_running_loop()
    proving = _Proving(address, secret, loop.create_future())
    context = gateway_context()
    transport, _ = await loop.create_connection(lambda: proving, *address.node, ssl=context)
    try:
        rest = await proving.proved
    except BaseException:
        transport.abort()
        raise
    made = protocol()
    transport.set_protocol(made)
    made.connection_made(transport)
    if proving.ended:
        made.connection_lost(None)
    elif rest := rest + proving.more:
        made.data_received(rest)
    return made


def break_off(connection: socket.socket) -> None:
    """End a connection under the hands of a thread that waits for it."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _claim(purpose: bytes, address: Address, said: bytes) -> Claim:
    return Claim.of_caller(purpose, address.worker_id, read_hello(said))


def _check(said: bytes, claim: Claim, secret: str) -> None:
    if len(said) < PROOF_BYTES:
        raise RefusedError
    if not same(said, claim.of_relay(secret)):
        raise ProofError("its node does not know the worker's secret")


def _receive(connection: socket.socket, size: int) -> bytes:
    """So many bytes; fewer when the connection ends before."""
    data = b""
    while len(data) < size and (piece := connection.recv(size - len(data))):
        data += piece
    return data


class _Proving(asyncio.Protocol):
    """The first bytes of a connection from an event loop. ``proved``: what the worker has said behind them."""

    def __init__(self, address: Address, secret: str, proved: asyncio.Future[bytes]) -> None:
        self.proved = proved
        self._address, self._secret = address, secret
        self._transport: asyncio.Transport | None = None
        self._said = b""
        self._claim: Claim | None = None
        self.more = b""
        """What came between the proof and the protocol of the connection."""
        self.ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if self.proved.done():
            self.more += data
            return
        self._said += data
        try:
            self._take()
        except ProofError as error:
            self.proved.set_exception(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        if not self.proved.done():
            self.proved.set_exception(exc or (RefusedError() if self._claim else ProofError("its node hung up")))

    def _take(self) -> None:
        if self._claim is None and len(self._said) >= HELLO_BYTES and self._transport is not None:
            hello, self._said = self._said[:HELLO_BYTES], self._said[HELLO_BYTES:]
            self._claim = _claim(CALLS, self._address, hello)
            self._transport.write(self._claim.answer(self._secret))
        if self._claim is not None and len(self._said) >= PROOF_BYTES:
            _check(self._said[:PROOF_BYTES], self._claim, self._secret)
            self.proved.set_result(self._said[PROOF_BYTES:])
