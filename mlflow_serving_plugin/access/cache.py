"""Values that are costly to look up, kept for a short time; looked up once however many ask at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_ENTRIES = 10_000


class ShortCache(Generic[K, V]):
    """Thread-safe. ``clock`` gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most_entries: int = MOST_ENTRIES) -> None:
        self._clock = clock
        self._most = most_entries
        self._entries: dict[K, tuple[V, float]] = {}
        self._flights: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value, unless there is none or its time is over. Never blocks."""
        found = self._entries.get(key)
        return found[0] if found is not None and self._clock() < found[1] else None

    def fetch(self, key: K, look_up: Callable[[], V], lifetime_s: float) -> V:
        """The value; looked up, in this thread or in one that is at it already, when there is none.

        It lives from the moment its look-up began: what changes during the look-up counts no later than after it.
        What a look-up raises is raised for all who wait for it, and not kept.
        """
        if (found := self.get(key)) is not None:
            return found
        with self._lock:
            flight = self._flights.get(key)
            own: Future[V] = Future()
            if flight is None:
                self._flights[key] = own
        if flight is not None:
            return flight.result()
        since = self._clock()
        try:
            value = look_up()
            self._keep(key, value, since + lifetime_s)
            own.set_result(value)
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[key]
        return value

    def _keep(self, key: K, value: V, until: float) -> None:
        with self._lock:
            if len(self._entries) >= self._most:
                now = self._clock()
                self._entries = {k: entry for k, entry in self._entries.items() if now < entry[1]}
                if len(self._entries) >= self._most:
                    # More callers than places: whoever comes next looks up again.
                    self._entries = {}
            self._entries[key] = (value, until)
