"""A call of a worker, the worker's reply, and the error of a call without a reply."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.errors import WorkerLostError
from mlflow_serving_plugin.host.messages import Overdue


class WorkerCall(NamedTuple):
    """Step: send a canonical body to a worker. Result: a WorkerReply. Failures: LostError, DeadlineError."""

    worker: WorkerRoute
    content_type: str
    body: bytes
    timeout_s: float
    workspace: str
    name: str

    @property
    def overdue(self) -> Overdue:
        """The message to the controller when the worker has not answered ``overdue_grace_s`` after the timeout."""
        return Overdue(self.worker.worker_id)


class WorkerStream(Protocol):
    """The body of an answer that comes piece by piece."""

    def take(self) -> Any:
        """The next bytes, empty at the end; an event loop awaits the result. LostError, DeadlineError."""

    def close(self) -> None:
        """End the stream: the worker may stop. Never blocks; may be called again."""


class WorkerReply(NamedTuple):
    """A worker's answer, of any status."""

    status: int
    content_type: str
    body: bytes | WorkerStream
    times_us: tuple[int, int, int] | None = None
    """How long the worker says it took: decode, predict, encode. None: the worker does not say."""


class LostError(WorkerLostError):
    """No answer from a worker. ``sent``: the worker may have begun to score the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent
