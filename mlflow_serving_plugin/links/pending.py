"""One request that a worker has, from sending it to its answer."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from mlflow_serving_plugin.links.base import WorkerCall, WorkerReply
from mlflow_serving_plugin.worker import wire

TICK_S = 0.1
"""How often a connection looks for requests that timed out."""


@dataclass(slots=True)
class Pending:
    """One request at a worker. A timeout, or a client that leaves, ends ``future`` before the worker answers."""

    call: WorkerCall
    future: asyncio.Future[WorkerReply]
    sent_at: float
    due: float
    """By the loop's clock: when the request times out; after that, when to look for a sign of life."""
    timed_out: bool = False
    """Whether the caller has been told that the request timed out."""
    traces: tuple[bytes, ...] = ()

    def answer(self, frame: wire.Frame) -> None:
        """The response; WireError."""
        if not self.future.done():
            response = wire.decode_response(frame)
            self.future.set_result(
                WorkerReply(response.status, response.content_type, response.body, response.times_us, self.traces)
            )

    def drop(self, now: float) -> None:
        """The request was not scored: its time was over, or the worker ends and the request is for another worker."""
        late = now >= self.due - TICK_S
        self.fail(self.call.timed_out() if late else self.call.lost("it takes no more requests", sent=False))

    def fail(self, error: BaseException) -> bool:
        """End the request with an error; False when the caller has an answer, or has left."""
        if self.future.done():
            return False
        self.future.set_exception(error)
        return True
