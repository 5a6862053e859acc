"""A cache with a short lifetime. Callers that ask for the same value at the same time share one look-up."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from mlflow_serving_plugin.errors import TooManyRequestsError
from mlflow_serving_plugin.host.throttled import Throttled

_unreachable = Throttled(logging.getLogger(__name__))

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

MOST_ENTRIES = 10_000

_PATIENCE_S = 1.0
"""How long a look-up may take before a value known from before counts."""

_REFRESHERS = 4


@dataclass(frozen=True, slots=True)
class _Entry(Generic[V]):
    value: V
    until: float
    """When the value expires."""
    known: float
    """When the value was last looked up with success."""


@dataclass(frozen=True, slots=True)
class _Flight(Generic[V]):
    """A look-up under way."""

    value: Future[V]
    since: float
    """By the monotonic clock."""


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
        self._flights: dict[K, _Flight[V]] = {}
        self._pool: ThreadPoolExecutor | None = None
        self._lock = threading.Lock()

    def get(self, key: K) -> V | None:
        """The value; None when there is none or when it has expired. Never blocks."""
        found = self._entries.get(key)
        return found.value if found is not None and self._clock() < found.until else None

    def fetch(self, key: K, look_up: Callable[[], V], lifetime_s: float) -> V:
        """The value. When there is none, this thread looks it up or waits for the thread that already does.

        The lifetime begins with the start of the look-up, so that a change during the look-up is not missed for longer
        than the lifetime. An error of the look-up is raised in all waiting threads, unless an earlier value is still
        valid by ``outage_s``. Such a value also counts when the look-up takes longer than ``_PATIENCE_S``.
        """
        if (found := self.get(key)) is not None:
            return found
        old = self._believable(key)
        with self._lock:
            is_own = key not in self._flights
            flight = self._flights.setdefault(key, _Flight(Future(), time.monotonic()))
        if old is None:
            if is_own:
                self._fly(flight, key, look_up, lifetime_s)
            return flight.value.result()
        if is_own:
            self._threads().submit(self._fly, flight, key, look_up, lifetime_s)
        if not wait([flight.value], max(0.0, flight.since + _PATIENCE_S - time.monotonic())).done:
            _unreachable.log(logging.WARNING, "Auth does not answer. Callers verified before stay accepted.")
            self._keep(key, replace(old, until=self._clock() + lifetime_s))
            return old.value
        return flight.value.result()

    def _fly(self, flight: _Flight[V], key: K, look_up: Callable[[], V], lifetime_s: float) -> None:
        try:
            flight.value.set_result(self._look_up(key, look_up, self._clock(), lifetime_s))
        except BaseException as error:
            flight.value.set_exception(error)
        finally:
            with self._lock:
                del self._flights[key]

    def _believable(self, key: K) -> _Entry[V] | None:
        """An earlier value that stays valid while look-ups fail."""
        old = self._entries.get(key)
        return old if old is not None and self._clock() < old.known + self._outage_s else None

    def _threads(self) -> ThreadPoolExecutor:
        """For look-ups of values that are known from before. Made late: threads do not follow into forks."""
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_REFRESHERS, thread_name_prefix="serving-refresh")
            return self._pool

    def _look_up(self, key: K, look_up: Callable[[], V], since: float, lifetime_s: float) -> V:
        try:
            entry = _Entry(look_up(), since + lifetime_s, since)
        except TooManyRequestsError:
            raise
        except Exception as error:
            old = self._believable(key)
            if old is None:
                raise
            _unreachable.log(
                logging.WARNING,
                "Auth is unreachable (%s). Callers verified before stay accepted.",
                type(error).__name__,
            )
            entry = replace(old, until=since + lifetime_s)
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
