"""What the core, its drivers and the links pass to each other: a request's head, steps to take, a reply.

The core is a generator. It yields *steps*, which only a driver (``asgi``, ``wsgi``) can take, gets each result
sent back, or thrown in when it failed, and returns the reply. All of them are named tuples: a request makes ten, and
those are made three times as fast as frozen dataclasses.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any, NamedTuple, TypeVar

from mlflow_serving_plugin.gateway.limits import Share
from mlflow_serving_plugin.links.calls import WorkerCall


class Head(NamedTuple):
    """A request without its body. ``path`` is percent-decoded and without the static prefix."""

    method: str
    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    hold_cap_s: float | None = None
    """The longest that this driver can hold a request; None: as long as the settings say."""


class Reply(NamedTuple):
    """What the client gets."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes


class ReadBody(NamedTuple):
    """Step: read the request body. Result: bytes, at most ``max_bytes``; ``declared`` is its Content-Length.

    ``share``: the memory that it may take beside all others.
    """

    declared: int | None
    max_bytes: int
    share: Share | None = None


class Pause(NamedTuple):
    """Step: let ``seconds`` pass."""

    seconds: float


class RunBlocking(NamedTuple):
    """Step: call a function that may block. Result: what it returns."""

    function: Callable[[], Any]


Step = ReadBody | Pause | RunBlocking | WorkerCall
T = TypeVar("T")
Steps = Generator[Step, Any, T]
