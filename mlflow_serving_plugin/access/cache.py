"""A cache with a short lifetime. Callers that ask for the same value at the same time share one look-up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Generic, NamedTuple, TypeVar

_logger = logging.getLogger(__name__)

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_ENTRIES = 10_000


class _Entry(NamedTuple, Generic[V]):
    value: V
    until: float
    """When the value expires."""
    known: float
    """When the value was last looked up with success."""


class ShortCache(Generic[K, V]):
    """Thread-safe. ``clock`` gives seconds.

    ``outage_s``: how long a known value stays valid while look-ups fail.
    """

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        most_entries: int = MOST_ENTRIES,
        *,
        outage_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._most = most_entries
        self._outage_s = outage_s
        self._entries: dict[K, _Entry[V]] = {}
        self._flights: dict[K, Future[V]] = {}
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value; None when there is none or when it has expired. Never blocks."""
        found = self._entries.get(key)
        return found.value if found is not None and self._clock() < found.until else None

    def fetch(self, key: K, look_up: Callable[[], V], lifetime_s: float) -> V:
        """The value. When there is none, this thread looks it up or waits for the thread that already does.

        The lifetime begins with the start of the look-up, so that a change during the look-up is not missed for longer
        than the lifetime. An error of the look-up is raised in all waiting threads, unless an earlier value is still
        valid by ``outage_s``.
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
            value = self._look_up(key, look_up, since, lifetime_s)
            own.set_result(value)
        except BaseException as error:
            own.set_exception(error)
            raise
        finally:
            with self._lock:
                del self._flights[key]
        return value

    def _look_up(self, key: K, look_up: Callable[[], V], since: float, lifetime_s: float) -> V:
        try:
            entry = _Entry(look_up(), since + lifetime_s, since)
        except Exception as error:
            old = self._entries.get(key)
            if old is None or since >= old.known + self._outage_s:
                raise
            _logger.warning("Auth is unreachable (%s). Callers verified before stay accepted.", type(error).__name__)
            entry = old._replace(until=since + lifetime_s)
        self._keep(key, entry)
        return entry.value

    def _keep(self, key: K, entry: _Entry[V]) -> None:
        with self._lock:
            if len(self._entries) >= self._most:
                now = self._clock()
                self._entries = {k: kept for k, kept in self._entries.items() if now < kept.until}
                if len(self._entries) >= self._most:
                    # More callers than entries: the next callers look up again.
                    self._entries = {}
            self._entries[key] = entry
