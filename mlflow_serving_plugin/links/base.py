"""Links: how a worker is called. One class per protocol and kind of web worker, picked by ``WorkerRoute.protocol``.

Fed with the core's ``WorkerCall`` steps; feeds workers. A link keeps connections to workers and drops connections to
workers that have left the routes snapshot. When a call times out, its caller gets the error at once. A native worker
ends overdue predictions by itself, so a link of frames reports only a worker that gives no sign of life. A worker of
MLflow's own server is reported when a prediction still runs after ``overdue_grace_s``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

from mlflow_serving_plugin.domain.routes import Routes, WorkerRoute
from mlflow_serving_plugin.errors import DeadlineError, WorkerLostError
from mlflow_serving_plugin.host.messages import Nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader

L = TypeVar("L")


class WorkerCall(NamedTuple):
    """Step: send a canonical body to a worker. Result: a WorkerReply. Failures: LostError, DeadlineError.

    ``careful``: send the body only after a sign of life, where the protocol has one: the worker may be dying.
    ``stream``: the answer is to come event by event; ``timeout_s`` is for each event. ``context``: for a model that
    asks who calls, see ``worker.request_context``; empty for any other.
    """

    worker: WorkerRoute
    content_type: str
    body: bytes
    timeout_s: float
    workspace: str
    name: str
    careful: bool = False
    stream: bool = False
    context: bytes = b""

    def lost(self, why: object, *, sent: bool) -> LostError:
        """The error when there is no answer. ``sent``: the worker may have begun to score the request."""
        return LostError(f"Worker {self.worker.worker_id}: {str(why) or type(why).__name__}", sent=sent)

    def timed_out(self) -> DeadlineError:
        """The error after ``timeout_s``."""
        if self.stream:
            return DeadlineError(f"The model sent no event within the request timeout of {self.timeout_s:g} s.")
        return DeadlineError(f"The prediction took longer than the request timeout of {self.timeout_s:g} s.")


class StreamFailedError(Exception):
    """The model failed between two events. ``status``, ``body``: as of a worker's answer to a request that fails."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(f"the worker ended the stream with status {status}")
        self.status = status
        self.body = body


class WorkerStream(Protocol):
    """An answer that comes event by event, each a JSON text."""

    def take(self) -> Any:
        """The next events, a list; empty at the end. An event loop awaits the result.

        LostError, DeadlineError when no event comes for the call's timeout, StreamFailedError.
        """

    def close(self) -> None:
        """End the stream: the worker may stop. Never blocks; may be called again."""


class WorkerReply(NamedTuple):
    """A worker's answer, of any status."""

    status: int
    content_type: str
    body: bytes | WorkerStream
    times_us: tuple[int, int, int] | None = None
    """How long the worker says it took: decode, predict, encode. None: the worker does not say."""
    traces: Sequence[bytes] = ()
    """The traces that the model has made, as JSON; empty for one that was dropped. Of a stream, those until now."""


class LostError(WorkerLostError):
    """No answer from a worker. ``sent``: the worker may have begun to score the request."""

    def __init__(self, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.sent = sent


class AsyncLink(Protocol):
    """Calls workers from an event loop."""

    async def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer; LostError when the worker is lost, DeadlineError after the timeout."""

    async def close(self) -> None:
        """Close all connections."""


class BlockingLink(Protocol):
    """Calls workers from threads. Thread-safe."""

    def call(self, call: WorkerCall) -> WorkerReply:
        """The worker's answer; LostError when the worker is lost, DeadlineError after the timeout."""

    def close(self) -> None:
        """Close all connections."""


@dataclass(frozen=True, slots=True)
class LinkContext:
    """What every link needs of the server."""

    snapshot: SnapshotReader
    nudge: Callable[[Nudge], None]
    overdue_grace_s: float


class LiveAddresses:
    """The addresses of the workers in the routes snapshot, worked out once per snapshot."""

    def __init__(self, snapshot: SnapshotReader) -> None:
        self._snapshot = snapshot
        self._routes: Routes | None = None
        self.addresses: frozenset[str] = frozenset()

    def changed(self) -> bool:
        """Whether there is another snapshot than at the last call."""
        routes = self._snapshot.current()
        if routes is self._routes:
            return False
        self.addresses = frozenset(worker.address for entity in routes.entities.values() for worker in entity.workers)
        self._routes = routes
        return True

    def __contains__(self, address: str) -> bool:
        return address in self.addresses


def link_for(links: Mapping[str, L], call: WorkerCall) -> L:
    """The link of the worker's protocol; LostError when there is none."""
    link = links.get(call.worker.protocol)
    if link is None:
        raise LostError(f"Worker {call.worker.worker_id} speaks {call.worker.protocol!r}.", sent=False)
    return link
