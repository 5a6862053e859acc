"""Nudges: "something may have changed, look now", from any web worker to the controller of the host.

Datagrams on a unix socket. A lost one costs only time: the controller looks by itself every few seconds.
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
class Nudge:
    """What to look at. No ``name``: every endpoint. ``overdue_worker``: it still runs a timed-out prediction."""

    workspace: str | None = None
    name: str | None = None
    overdue_worker: str | None = None


def send_nudge(path: Path, nudge: Nudge) -> None:
    """Tell the controller, if there is one. Never blocks, never fails."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(json.dumps(asdict(nudge)).encode(), str(path))


class NudgeInbox:
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

    def wait(self, timeout_s: float) -> list[Nudge]:
        """Wait for nudges, at most so long; return all that are there."""
        nudges: list[Nudge] = []
        if not self._selector.select(max(0.0, timeout_s)):
            return nudges
        while True:
            try:
                data = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return nudges
            nudges.append(_decode(data))

    def close(self) -> None:
        """Stop listening; remove the socket unless another controller has put its own there."""
        self._selector.close()
        self._socket.close()
        with contextlib.suppress(OSError):
            if self._path.stat().st_ino == self._identity:
                self._path.unlink()


def _decode(data: bytes) -> Nudge:
    try:
        return Nudge(**json.loads(data))
    except (ValueError, TypeError):
        return Nudge()
