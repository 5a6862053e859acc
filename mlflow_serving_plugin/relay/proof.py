"""The first bytes of a connection to a relay: either side proves that it knows the worker's secret. No I/O in here.

========  =================================================================================================
relay     ``hello``: the protocol's name and a nonce
gateway   ``answer``: what the connection is for, the worker's id, a nonce, and an HMAC of all that was said
relay     an HMAC of the same under another label; from then on the connection is the worker's, or a pulse
========  =================================================================================================

The secret itself is never sent, and a proof is worth nothing on another connection, because both nonces are in it.
What follows is neither encrypted nor signed, unless Ray uses TLS (see ``tls``): else the network is to be private.
"""

from __future__ import annotations

import hmac
import re
import secrets
import struct
from typing import NamedTuple

_NAME = b"mlflow-serving-1"
NONCE_BYTES = 32
HELLO_BYTES = len(_NAME) + NONCE_BYTES
_ANSWER = struct.Struct("!c12s32s32s")
ANSWER_BYTES = _ANSWER.size
PROOF_BYTES = 32

CALLS = b"C"
"""Purpose of a connection: frames to and from the worker."""

PULSE = b"P"
"""Purpose of a connection: each byte is answered by the relay itself, so that a busy worker delays no answer."""

LEASE = b"L"
"""Like PULSE, and each byte renews the lease of the node's workers: the controller's connection."""

PURPOSES = frozenset((CALLS, PULSE, LEASE))
_WORKER_ID = re.compile(rb"[0-9a-f]{12}")
_ADDRESS = re.compile(r"tcp://(?P<host>\[[^\]/]+\]|[^\[\]:/]+):(?P<port>\d{1,5})/(?P<worker>[0-9a-f]{12})")


class ProofError(ConnectionError):
    """The other side does not know the secret, or speaks another protocol."""


class Address(NamedTuple):
    """Where a worker of another host answers: ``tcp://host:port/worker id``, an IPv6 host in brackets."""

    host: str
    port: int
    worker_id: str

    @property
    def node(self) -> tuple[str, int]:
        """The relay, which all workers of a node share."""
        return self.host, self.port

    def __str__(self) -> str:
        """As in a route."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}/{self.worker_id}"


class Answer(NamedTuple):
    """What a gateway has said. ``mac``: to be compared with ``Claim.of_gateway``."""

    purpose: bytes
    worker_id: str
    nonce: bytes
    mac: bytes


def parse_address(address: str) -> Address | None:
    """The parts of a TCP address; None for the path of a unix socket."""
    found = _ADDRESS.fullmatch(address)
    return Address(found["host"].strip("[]"), int(found["port"]), found["worker"]) if found else None


def hello(nonce: bytes) -> bytes:
    """The relay's first bytes."""
    return _NAME + nonce


def read_hello(data: bytes) -> bytes:
    """The relay's nonce; ProofError."""
    if len(data) != HELLO_BYTES or not data.startswith(_NAME):
        raise ProofError("it does not speak the protocol of this version")
    return data[len(_NAME) :]


def read_answer(data: bytes) -> Answer:
    """What the gateway has said; ProofError."""
    purpose, worker_id, nonce, mac = _ANSWER.unpack(data)
    if purpose not in PURPOSES or not _WORKER_ID.fullmatch(worker_id):
        raise ProofError("it does not speak the protocol of this version")
    return Answer(purpose, worker_id.decode(), nonce, mac)


class Claim(NamedTuple):
    """All that both sides have said on one connection."""

    purpose: bytes
    worker_id: str
    relay_nonce: bytes
    gateway_nonce: bytes

    @classmethod
    def of_caller(cls, purpose: bytes, worker_id: str, relay_nonce: bytes) -> Claim:
        """A new claim, with a nonce of its own."""
        return cls(purpose, worker_id, relay_nonce, secrets.token_bytes(NONCE_BYTES))

    def of_gateway(self, secret: str) -> bytes:
        """The gateway's proof."""
        return self._mac(secret, b"gateway")

    def of_relay(self, secret: str) -> bytes:
        """The relay's proof. Under another label, so that no side's proof can be sent back to it."""
        return self._mac(secret, b"relay")

    def answer(self, secret: str) -> bytes:
        """The gateway's bytes."""
        return _ANSWER.pack(self.purpose, self.worker_id.encode(), self.gateway_nonce, self.of_gateway(secret))

    def _mac(self, secret: str, label: bytes) -> bytes:
        said = b"".join((_NAME, label, self.purpose, self.worker_id.encode(), self.relay_nonce, self.gateway_nonce))
        return hmac.digest(secret.encode(), said, "sha256")


def same(proof: bytes, expected: bytes) -> bool:
    """Whether two proofs are equal, in a time that does not depend on where they differ."""
    return hmac.compare_digest(proof, expected)
