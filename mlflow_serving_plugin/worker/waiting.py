"""A request from its arrival to its answer."""

from __future__ import annotations

import json
from concurrent.futures import Future
from time import perf_counter_ns
from typing import Protocol

from . import wire
from .decoding import Batchable
from .request_context import RequestContext
from .scoring import JSON, Answer, Scorer

_JSON = JSON.encode()
LARGEST_ANSWER = wire.MAX_FRAME_BYTES - 64 * 1024
"""Bytes."""


class Peer(Protocol):
    """The connection of the gateway that sent a request."""

    def send(self, data: bytes) -> None:
        """Send frames."""

    def close(self) -> None:
        """Close the connection."""

    def hold(self, reason: str, on: bool) -> None:
        """Read nothing from the connection for as long as a reason holds."""

    def descriptor(self) -> int:
        """The number of the connection's socket; -1 when the connection is closed."""


class Waiting:
    """One request. ``input``: the decoded body, once ``decoded``. ``alone``: not to be scored with other requests.

    ``job``: the prediction in a thread, where predictions run in threads. ``context``: what the gateway tells of the
    caller, for a model that asks.
    """

    __slots__ = (
        *("alone", "arrived_ns", "cancelled", "context", "decode_ns", "decoded", "id", "input", "job", "peer"),
        "request",
    )

    def __init__(
        self, peer: Peer, request_id: int, request: wire.Request, context: RequestContext | None = None
    ) -> None:
        self.peer = peer
        self.id = request_id
        self.request = request
        self.context = context
        self.arrived_ns = perf_counter_ns()
        self.cancelled = False
        self.alone = False
        self.decoded = False
        self.input: Batchable | None = None
        self.decode_ns = 0
        self.job: Future[None] | None = None

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        self.cancelled = True

    def decode(self, scorer: Scorer) -> None:
        """Decode the body, once."""
        if not self.decoded:
            start = perf_counter_ns()
            self.input = scorer.decode(self.request.content_type, self.request.body)
            self.decode_ns = perf_counter_ns() - start
            self.decoded = True
            self.alone = self.input is None

    def fits(self, other: Waiting) -> bool:
        """Whether the inputs of two requests can be joined."""
        return self.input is not None and other.input is not None and self.input.group == other.input.group

    def useless(self, now_ns: int) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.cancelled or (now_ns - self.arrived_ns) > self.request.timeout_ms * 1_000_000


def response_frame(waiting: Waiting, answer: Answer) -> tuple[bytes, ...]:
    """The answer to a request, in the parts in which the answer is sent."""
    if len(answer.body) > LARGEST_ANSWER:
        answer = too_large(len(answer.body))
    content_type = _JSON if answer.content_type is JSON else answer.content_type.encode()
    times_us = (answer.decode_ns // 1000, answer.predict_ns // 1000, answer.encode_ns // 1000)
    parts = wire.encode_response(waiting.id, answer.status, times_us, content_type, answer.body)
    return parts if waiting.context is None else (*trace_frames(waiting), *parts)


def trace_frames(waiting: Waiting) -> tuple[bytes, ...]:
    """The traces that the model has made for a request, to be sent before the request's last frame."""
    if waiting.context is None:
        return ()
    return tuple(wire.encode(wire.TRACE, waiting.id, trace) for trace in waiting.context.take_traces())


def too_large(size: int) -> Answer:
    """What is answered in the place of an answer, or an event, of so many bytes."""
    message = f"The model's answer of {size} bytes is over the limit of {LARGEST_ANSWER} bytes."
    return Answer(500, JSON, json.dumps({"error_code": "INTERNAL_ERROR", "message": message}).encode())
