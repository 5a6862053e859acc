"""One request from its head to the last byte of its answer, and the headers that tell the client about it.

Filled in by ``core``, ``scoring`` and ``holding``; read by observers (metrics first) once the request has ended.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.gateway.addresses import Action, Target
from mlflow_serving_plugin.gateway.choice import Choice
from mlflow_serving_plugin.gateway.dialects.base import ReplyFormat, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS
from mlflow_serving_plugin.gateway.limits import Reservation, Slot
from mlflow_serving_plugin.gateway.messages import After, Head, Pieces, Reply
from mlflow_serving_plugin.links.base import WorkerReply

CLIENT_GONE = 499
"""The status of a request whose client left before the end of its answer, as in nginx."""

_PRINTABLE = re.compile(r"[!-~]{1,128}\Z")


@dataclass(slots=True)
class Exchange:
    """A request and its answer. Times in seconds. What is None or 0 has not been reached."""

    head: Head
    request_id: str
    started_s: float
    target: Target | None = None
    workspace: str = ""
    caller: User | None = None
    models: tuple[str, ...] = ()
    """Of a request to a serving endpoint: the registered models that the caller was found to be allowed to read."""
    point: float = 0.0
    """Where the split of a serving endpoint's traffic decides."""
    choice: Choice | None = None
    """The entity that answers."""
    reply_format: ReplyFormat = INVOCATIONS
    """How the client is answered: by the path at first, by the body once the body has been read."""
    body: bytes | None = None
    """The request's body as the client sent it, decompressed."""
    request: ScoringRequest | None = None
    context: bytes = b""
    """What a model that asks is told of the caller."""
    stores_traces: bool = False
    """Whether the traces that the model makes are for the tracking store."""
    answer: WorkerReply | None = None
    reply: Reply | None = None
    """What the client gets; None when the client left before."""
    streamed: bytearray | None = None
    """Of a streamed answer: a copy of what was sent, where an observer wants to have it."""
    status: int = 0
    """Of the reply, or CLIENT_GONE; 0 while the request is under way."""
    took_s: float = 0.0
    auth_s: float = 0.0
    queue_s: float = 0.0
    decode_s: float = 0.0
    predict_s: float = 0.0
    encode_s: float = 0.0
    place: Slot | None = None
    """The request's place in flight."""
    load: Slot | None = None
    """The call of the chosen worker, until that worker has answered or is lost."""
    stream: Slot | None = None
    """The place among the streams under way, once events have come."""
    after: After | None = None
    """What to do once the answer has left."""
    memory: Reservation | None = None
    """The memory of the request body."""

    @property
    def is_scoring(self) -> bool:
        """Whether the request is to be scored, as far as its path can tell."""
        return self.target is None or self.target.action is Action.SCORE

    def spend_call(self, answer: WorkerReply, took_s: float) -> None:
        """Take a worker's answer; book the round trip by the worker's own times, and the way there and back as queue.

        A worker that tells no times spent all of the round trip predicting.
        """
        self.answer = answer
        if answer.times_us is None:
            self.predict_s += took_s
            return
        decode_us, predict_us, encode_us = answer.times_us
        self.decode_s += decode_us / 1e6
        self.predict_s += predict_us / 1e6
        self.encode_s += encode_us / 1e6
        self.queue_s += max(0.0, took_s - (decode_us + predict_us + encode_us) / 1e6)

    def headers(self) -> list[tuple[str, str]]:
        """Headers of every answer: ``X-Request-Id``, the version (of a serving endpoint also the entity) where known,
        ``Server-Timing`` (ms) when scored.
        """
        headers = [("X-Request-Id", self.request_id)]
        if self.choice is not None:
            headers.append(("X-MLflow-Model-Version", self.choice.version))
            if served_name := self.choice.entity.served_name:
                headers.append(("Served-Model-Name", served_name))
        if self.answer is not None:
            headers.append(
                (
                    "Server-Timing",
                    f"auth;dur={self.auth_s * 1e3:.3f}, queue;dur={self.queue_s * 1e3:.3f}, "
                    f"decode;dur={self.decode_s * 1e3:.3f}, predict;dur={self.predict_s * 1e3:.3f}, "
                    f"encode;dur={self.encode_s * 1e3:.3f}",
                )
            )
        return headers

    def release(self) -> None:
        """Give back all that the request still holds."""
        for held in (self.load, self.place, self.stream, self.memory):
            if held is not None:
                held.release()

    def __str__(self) -> str:
        if self.target is None:
            return f"{self.request_id} on no model"
        version = "?" if self.choice is None else self.choice.version
        return f"{self.request_id} on model {self.target.reference.name!r} version {version}"


Observer = Callable[[Exchange], None]
"""Called once for each exchange that has ended, on the event loop: must not block."""


@runtime_checkable
class StreamObserver(Protocol):
    """An observer that has a part in streamed answers, too."""

    def begin_stream(self, exchange: Exchange, pieces: Pieces) -> None:
        """A streamed answer is about to be sent. Called on the event loop: must not block or raise."""


def request_id_of(headers: Mapping[str, str]) -> str:
    """The client's ``X-Request-Id`` if the id can stand in a header and a log line, else a new one."""
    given = headers.get("x-request-id")
    return given if given and _PRINTABLE.match(given) else os.urandom(16).hex()
