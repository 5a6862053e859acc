"""Turns: for each key one holder at a time, among all web workers of the host."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path


class Turns:
    """Never blocks. Thread-safe. ``path``: a file whose bytes are locked, one a key; None: this process only.

    A process that is killed gives its turns back. Where the file cannot be had, turns count in this process.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._fd: int | None = None
        self._held: set[Hashable] = set()
        self._lock = threading.Lock()

    def take(self, key: Hashable) -> AbstractContextManager[None] | None:
        """The turn, given back at the end of its ``with``; None while somebody else has it."""
        with self._lock:
            # The kernel's locks tell processes apart, not requests of one process.
            if key in self._held or not self._lock_byte(key):
                return None
            self._held.add(key)
        return self._give_back(key)

    @contextlib.contextmanager
    def _give_back(self, key: Hashable) -> Iterator[None]:
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(key)
                if self._fd is not None:
                    fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, _place(key))

    def _lock_byte(self, key: Hashable) -> bool:
        try:
            if self._fd is None and self._path is not None:
                # Kept open: closing it once would give back every turn of this process.
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if self._fd is not None:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def _place(key: Hashable) -> int:
    """Two keys may have one place: they then wait for each other, no more."""
    return zlib.crc32(repr(key).encode())
