"""File locks among the web workers of a host: one per key, and one that tells who is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import zlib
from collections.abc import Hashable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock


class KeyedLocks:
    """One lock per key, among all web workers of the host. Never blocks. Thread-safe.

    ``path``: a file, of which each lock is one byte; None: locks count in this process only, as they do where the file
    cannot be opened. A killed process releases its locks.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._fd: int | None = None
        self._held: set[Hashable] = set()
        self._lock = threading.Lock()

    def try_acquire(self, key: Hashable) -> AbstractContextManager[None] | None:
        """The lock, released at the end of its ``with``; None while another request holds the lock."""
        with self._lock:
            # The kernel's locks tell processes apart, not requests of one process.
            if key in self._held or not self._lock_byte(key):
                return None
            self._held.add(key)
        return self._until_released(key)

    @contextlib.contextmanager
    def _until_released(self, key: Hashable) -> Iterator[None]:
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
                # Kept open: closing the file once would release every lock of this process.
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if self._fd is not None:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True


def _place(key: Hashable) -> int:
    """The byte of a key. Two keys may share a byte: they then wait for each other, no more."""
    return zlib.crc32(repr(key).encode())


class Presence:
    """One web worker's presence on the host, from creation to ``leave``. A killed process leaves by itself.

    Each web worker holds a shared lock, so that the last web worker to leave can tell that it is the last.
    """

    def __init__(self, path: Path) -> None:
        self._gate = FileLock(path.with_name(f"{path.name}.gate"))
        # filelock has exclusive locks only.
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_SH)

    def leave(self) -> bool:
        """Be gone; True when no other web worker is there."""
        # One at a time: two web workers that leave together would each find the other still there.
        with self._gate:
            fcntl.flock(self._fd, fcntl.LOCK_UN)
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            finally:
                os.close(self._fd)
            return True
