"""Python's garbage collector while large bodies are parsed: runs seldom, for otherwise it takes most of the time.

A body of a million small lists makes a million objects at once, none of them garbage. The collector, which runs after
each 700 new objects, looks at all of them again and again: 5 to 17 times as long as parsing itself. Standard library
only, Python 3.8 or later.
"""

from __future__ import annotations

import gc
import threading

_LARGE_BYTES = 64 * 1024
_SELDOM = (50_000, 10, 10)
"""New objects per collection. Not never: the model runs meanwhile, and may make garbage."""


class Collector:
    """Counts the large bodies that are being parsed, in whatever threads; as a context, counts one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._large = 0
        self._before = gc.get_threshold()

    def during(self, body: bytes) -> Collector | _Nothing:
        """The context in which a body is parsed and scored."""
        return self if len(body) > _LARGE_BYTES else _NOTHING

    def __enter__(self) -> None:
        with self._lock:
            if self._large == 0:
                self._before = gc.get_threshold()
                gc.set_threshold(*_SELDOM)
            self._large += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._large -= 1
            if self._large == 0:
                gc.set_threshold(*self._before)


class _Nothing:
    def __enter__(self) -> None:
        """A small body needs nothing."""

    def __exit__(self, *_: object) -> None:
        """As above."""


_NOTHING = _Nothing()
