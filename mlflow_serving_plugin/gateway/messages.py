"""What the core, its drivers and the links pass to each other: a request's head, steps to take, a reply.

The core is a generator. It yields *steps*, which only a driver (``asgi``, ``wsgi``) can take, gets each result
sent back, or thrown in when the step failed, and returns the reply. Steps are named tuples: a request makes ten, and
named tuples are made three times as fast as frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from enum import Enum
from typing import Any, NamedTuple, TypeVar

from mlflow_serving_plugin.access.base import Check
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.gateway.dialects.events import DONE, write_error, write_events
from mlflow_serving_plugin.gateway.limits import Reservation
from mlflow_serving_plugin.links.base import StreamFailedError, WorkerCall, WorkerStream


class Head(NamedTuple):
    """A request without its body. ``path`` is percent-decoded and without the static prefix."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    hold_cap_s: float | None = None
    """The longest that this driver can hold a request; None: as long as the settings say."""
    client: str = ""
    """The client's address."""
    query: bytes = b""
    """As sent, still percent-encoded."""
    scheme: str = ""


class ReadBody(NamedTuple):
    """Step: read the request body. Result: bytes, at most ``max_bytes``; ``declared`` is its Content-Length."""

    declared: int | None
    max_bytes: int
    reservation: Reservation | None = None
    """Grows with the body."""


class Pause(NamedTuple):
    """Step: let ``seconds`` pass. One that is ``needless`` passes at once where it would hold a thread."""

    seconds: float
    needless: bool = False


class Lane(Enum):
    """Which threads run a blocking function under an event loop: what hangs or floods holds up its own lane only."""

    WORK = "parsing and writing bodies"
    LOOKUP = "tokens and permissions"
    KNOWN_PASSWORD = "passwords that were right before"  # noqa: S105 - a name, no password
    PASSWORD = "passwords"  # noqa: S105 - a name, no password
    CONTROL = "the control API"


LANE_OF = {
    Check.TOKEN: Lane.LOOKUP,
    Check.KNOWN_PASSWORD: Lane.KNOWN_PASSWORD,
    Check.PASSWORD: Lane.PASSWORD,
}
"""Where ``Access.identify`` runs, by what it has to check."""


class RunBlocking(NamedTuple):
    """Step: call a function that may block. Result: what the function returns.

    Failures of an event loop's driver: TooManyRequestsError when the lane is full, TemporarilyUnavailableError when
    the function takes too long. A WSGI server has a thread for each request already, so there the function just runs.
    """

    function: Callable[[], Any]
    lane: Lane = Lane.WORK


class TakeEvents(NamedTuple):
    """Step: the next events of a worker's stream. Result and failures: as of ``WorkerStream.take``."""

    stream: WorkerStream


class Piece(NamedTuple):
    """Step, of ``Pieces`` only: send these bytes to the client now."""

    body: bytes


class Aside(NamedTuple):
    """Step: take these steps beside the request; nobody waits for them. Result: whether they were begun.

    A driver takes on a bounded number of asides and logs their failures; an event loop ends an aside after
    ``timeout_s``. Functions that an aside runs share the threads of requests, so they must end by themselves. The
    driver releases ``reservation``, the memory of what the aside keeps alive, in any case.
    """

    steps: Steps[None]
    reservation: Reservation
    timeout_s: float = 60.0


class Pieces:
    """A reply's body that comes event by event. Drivers take ``steps()`` and call ``close`` in any case.

    ``first``: the events that have come already; until then a request may still be retried on another worker.
    """

    __slots__ = ("_first", "copy", "ended", "fail", "finished", "form", "sending", "stream", "tail")

    def __init__(self, first: list[bytes], stream: WorkerStream) -> None:
        self._first = first
        self.stream = stream
        self.ended = False
        """Whether the client has got all events, or the error that is their end."""
        self.form: Callable[[bytes], bytes] = bytes
        """From a model's event to the client's."""
        self.sending: Callable[[int], object] = abs
        """Called with the number of events that are about to be sent."""
        self.tail: Callable[[], bytes] = bytes
        """What the client gets after the last event of the model."""
        self.fail: Callable[[ServingError | StreamFailedError], object] = str
        """What the client is told of an error between events."""
        self.copy: Callable[[bytes], object] | None = None
        """Called with all that is about to be sent; None: nobody wants a copy."""
        self.finished: Callable[[], None] | None = None
        """Called once, by ``close``."""

    def steps(self) -> Steps[None]:
        """Steps that bring and send the events."""
        events = self._first
        try:
            while events:
                self.sending(len(events))
                body = write_events(list(map(self.form, events)))
                if self.copy is not None:
                    self.copy(body)
                yield Piece(body)
                events = yield TakeEvents(self.stream)
            last = self.tail() + DONE
        except (ServingError, StreamFailedError) as error:
            last = write_error(self.fail(error)) + DONE
        if self.copy is not None:
            self.copy(last)
        yield Piece(last)
        self.ended = True

    def close(self) -> None:
        """The client has all of the body, or will never have it."""
        self.stream.close()
        finished, self.finished = self.finished, None
        if finished is not None:
            finished()


After = Callable[[Callable[[Aside], bool]], None]


class Reply(NamedTuple):
    """What the client gets. Only a body of bytes has a ``Content-Length``."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes | Pieces
    after: After | None = None
    """Called by the driver once the reply has left, with what begins an aside."""


Step = ReadBody | Pause | RunBlocking | WorkerCall | TakeEvents | Piece | Aside
T = TypeVar("T")
Steps = Generator[Step, Any, T]
