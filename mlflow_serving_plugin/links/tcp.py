"""Opens connections to relays of other hosts: either side proves that it knows the worker's secret."""

from __future__ import annotations

import asyncio
import contextlib
import socket

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


class RefusedError(ProofError):
    """The relay answers, and has no such worker with this secret."""

    def __init__(self) -> None:
        super().__init__("its node has no such worker")


def connect(address: Address, secret: str, timeout_s: float, purpose: bytes = CALLS) -> socket.socket:
    """A connection with both proofs behind it; OSError. ``timeout_s``: for each send and receive."""
    connection = socket.create_connection(address.node, timeout_s)
    try:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        claim = _claim(purpose, address, _receive(connection, HELLO_BYTES))
        connection.sendall(claim.answer(secret))
        _check(_receive(connection, PROOF_BYTES), claim, secret)
    except BaseException:
        connection.close()
        raise
    return connection


async def connect_async(address: Address, secret: str) -> socket.socket:
    """The same from an event loop, without a timeout; OSError. The socket does not block."""
    loop = asyncio.get_running_loop()
    error: OSError = OSError("its host has no address")
    for family, kind, protocol, _, place in await loop.getaddrinfo(*address.node, type=socket.SOCK_STREAM):
        connection = socket.socket(family, kind, protocol)
        connection.setblocking(False)
        try:
            await loop.sock_connect(connection, place)
            claim = _claim(CALLS, address, await _receive_async(loop, connection, HELLO_BYTES))
            await loop.sock_sendall(connection, claim.answer(secret))
            _check(await _receive_async(loop, connection, PROOF_BYTES), claim, secret)
        except OSError as failed:
            connection.close()
            error = failed
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise error


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


async def _receive_async(loop: asyncio.AbstractEventLoop, connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := await loop.sock_recv(connection, size - len(data))):
        data += piece
    return data
