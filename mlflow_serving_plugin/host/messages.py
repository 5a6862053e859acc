"""Nudges: what web workers tell the controller of the host, so that its next tick comes now.

Datagrams on a unix socket. A lost nudge costs only time: the controller looks by itself every few seconds.
"""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

_LARGEST = 4096


@dataclass(frozen=True, slots=True)
class Changed:
    """A registered model or the configuration of its endpoint may have changed. No ``name``: any of them."""

    workspace: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Overdue:
    """A worker still runs a prediction whose request timed out. ``answers``: the worker gives a sign of life."""

    worker_id: str
    answers: bool = False


@dataclass(frozen=True, slots=True)
class Wake:
    """The entity is needed: a request is held until the entity has a ready worker, or somebody warms it up."""

    endpoint_id: str
    entity: str


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker was lost. ``in_hand``: with a request that the worker may have begun to score."""

    worker_id: str
    in_hand: bool


Nudge = Changed | Overdue | Wake | Lost
_KINDS = {kind.__name__: kind for kind in (Changed, Overdue, Wake, Lost)}


def send_nudge(path: Path, nudge: Nudge) -> None:
    """Tell the controller, if there is one. Never blocks, never fails."""
    message = {"kind": type(nudge).__name__, **asdict(nudge)}
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(json.dumps(message).encode(), str(path))


class Inbox:
    """The controller's end. Takes the socket over from a controller before it."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.bind(str(path))
        path.chmod(0o600)
        self._identity = path.stat().st_ino
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._awake, self._waker = socket.socketpair()
        self._awake.setblocking(False)
        self._waker.setblocking(False)
        self._selector.register(self._awake, selectors.EVENT_READ)

    def wake(self) -> None:
        """End a ``wait`` from another thread, now or the next one."""
        with contextlib.suppress(OSError):
            self._waker.send(b"!")

    def wait(self, timeout_s: float) -> list[Nudge]:
        """Wait for nudges, at most so long; return all that are there."""
        nudges: list[Nudge] = []
        if not self._selector.select(max(0.0, timeout_s)):
            return nudges
        with contextlib.suppress(BlockingIOError):
            self._awake.recv(_LARGEST)
        while True:
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return nudges
            nudges.append(_decode(data))

    def close(self) -> None:
        """Stop listening; remove the socket unless another controller has put its own there."""
        self._selector.close()
        for end in (self._socket, self._awake, self._waker):
            end.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._identity:
                self._path.unlink()


def _decode(data: bytes) -> Nudge:
    """What cannot be read, as from a web worker of another version of this package, is a reason to look at all."""
    try:
        message = json.loads(data)
        return _KINDS[message.pop("kind")](**message)
    except (ValueError, TypeError, KeyError, AttributeError):
        return Changed()
