"""The relay's connections: the proof, then bytes from one socket to the other.

A relay knows no frames. A gateway's connection is one connection of the worker, so that all that the frames protocol
says about connections holds. While one side reads slowly, the relay reads nothing from the other side.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import NamedTuple, cast

from mlflow_serving_plugin.relay.proof import (
    ANSWER_BYTES,
    CALLS,
    LEASE,
    NONCE_BYTES,
    Answer,
    Claim,
    ProofError,
    hello,
    read_answer,
    same,
)

PROVE_S = 5.0
"""How long a caller has for the proof."""

MOST_UNPROVED = 128
"""Connections without a proof at one time; more are closed at once."""


class Known(NamedTuple):
    """A worker of this node: the secret, and the path of its unix socket."""

    secret: str
    socket: str


class Relay:
    """What all connections share. ``find`` knows the workers; ``renew`` is called for each byte of the controller."""

    def __init__(self, find: Callable[[str], Known | None], renew: Callable[[], object]) -> None:
        self.find = find
        self.renew = renew
        self.unproved: set[Caller] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def connection(self) -> Caller:
        """A protocol for one more connection."""
        return Caller(self)

    def start(self, caller: Caller, answer: Answer, known: Known, proof: bytes) -> None:
        """Connect a caller with the worker."""
        task = asyncio.get_running_loop().create_task(caller.join_worker(answer, known, proof))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _End(asyncio.Protocol):
    """One side of a connection through the relay."""

    def __init__(self) -> None:
        self.peer: _End | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        peer = self.peer
        if peer is not None and peer.transport is not None:
            peer.transport.write(data)

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        if self.peer is not None and self.peer.transport is not None:
            # What has been written is still sent.
            self.peer.transport.close()
        self.peer = None


class Caller(_End):
    """The side of the gateway."""

    def __init__(self, relay: Relay) -> None:
        super().__init__()
        self._relay = relay
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._said = b""
        self._purpose = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the proof."""
        super().connection_made(transport)
        if len(self._relay.unproved) >= MOST_UNPROVED:
            transport.close()
            return
        self._relay.unproved.add(self)
        self._timer = asyncio.get_running_loop().call_later(PROVE_S, transport.close)
        cast("asyncio.Transport", transport).write(hello(self._nonce))

    def data_received(self, data: bytes) -> None:
        """The proof, then what the connection is for."""
        if self._purpose == CALLS:
            super().data_received(data)
        elif self._purpose:
            self._beat(data)
        else:
            # Nobody says more than that before the relay's own proof.
            due = len(self._said) < ANSWER_BYTES
            self._said += data
            if len(self._said) >= ANSWER_BYTES:
                self._check() if due else cast("asyncio.Transport", self.transport).close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The gateway is gone."""
        self._proved()
        super().connection_lost(exc)

    async def join_worker(self, answer: Answer, known: Known, proof: bytes) -> None:
        """Connect with the worker; only then the caller learns that its proof was good."""
        transport = cast("asyncio.Transport", self.transport)
        worker = _End()
        try:
            await asyncio.get_running_loop().create_unix_connection(lambda: worker, known.socket)
        except OSError:
            transport.close()
            return
        if transport.is_closing():
            cast("asyncio.Transport", worker.transport).close()
            return
        self.peer, worker.peer = worker, self
        self._accept(answer.purpose, proof)

    def _check(self) -> None:
        transport = cast("asyncio.Transport", self.transport)
        try:
            answer = read_answer(self._said) if len(self._said) == ANSWER_BYTES else None
        except ProofError:
            answer = None
        known = self._relay.find(answer.worker_id) if answer else None
        if answer is None or known is None or not known.secret:
            transport.close()
            return
        claim = Claim(answer.purpose, answer.worker_id, self._nonce, answer.nonce)
        if not same(answer.mac, claim.of_gateway(known.secret)):
            transport.close()
        elif answer.purpose == CALLS:
            self._relay.start(self, answer, known, claim.of_relay(known.secret))
        else:
            self._accept(answer.purpose, claim.of_relay(known.secret))

    def _accept(self, purpose: bytes, proof: bytes) -> None:
        self._proved()
        self._purpose = purpose
        cast("asyncio.Transport", self.transport).write(proof)

    def _beat(self, data: bytes) -> None:
        if self._purpose == LEASE:
            self._relay.renew()
        cast("asyncio.Transport", self.transport).write(data)

    def _proved(self) -> None:
        self._relay.unproved.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
