"""The requests of one worker that have no answer yet, and the gateways' connections that they came on."""

from __future__ import annotations

from typing import Iterator

from .waiting import Peer, Waiting

_READ_AT_MOST_BYTES = 256 * 1024 * 1024
"""Of bodies under way. Beyond this size no connection is read until requests are answered."""


class UnderWay:
    """Belongs to the loop's thread."""

    def __init__(self) -> None:
        self.connections: set[Peer] = set()
        self.paused = False
        """Whether the bodies take too much memory for more to be read."""
        self._requests: dict[tuple[int, int], Waiting] = {}
        self._bytes = 0

    def add(self, waiting: Waiting) -> None:
        """A request came in."""
        self._requests[id(waiting.peer), waiting.id] = waiting
        self._bytes += len(waiting.request.body)
        if self._bytes > _READ_AT_MOST_BYTES and not self.paused:
            self._set_paused(True)

    def remove(self, waiting: Waiting) -> None:
        """A request has its answer: no drain waits for the request any more, and nothing cancels the request."""
        self._requests.pop((id(waiting.peer), waiting.id), None)
        self._bytes -= len(waiting.request.body)
        if self.paused and self._bytes < _READ_AT_MOST_BYTES // 2:
            self._set_paused(False)

    def find(self, peer: Peer, request_id: int) -> Waiting | None:
        """The request of a connection with this id, unless it has its answer."""
        return self._requests.get((id(peer), request_id))

    def cancel(self, peer: Peer, request_id: int) -> None:
        """The client of a request went away."""
        waiting = self.find(peer, request_id)
        if waiting is not None:
            waiting.cancel()

    def drop(self, peer: Peer) -> None:
        """A whole gateway went away, and needs no answers any more."""
        self.connections.discard(peer)
        for waiting in list(self):
            if waiting.peer is peer:
                waiting.cancel()

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Waiting]:
        return iter(list(self._requests.values()))

    def _set_paused(self, paused: bool) -> None:
        self.paused = paused
        for connection in self.connections:
            connection.hold("full", paused)
