"""How many calls were made within a minute, by keys, counted by all web workers of a host in one file.

The file is a table: a slot holds a key's digest, when the key's minute began, and the calls since. The minute of a key
begins with the key's first call. A slot whose minute is over is free, so nothing has to be cleaned up. The file is not
mapped into memory: on a full disk the kernel ends a process that writes to a mapped page (SIGBUS).
"""

from __future__ import annotations

import fcntl
import logging
import os
import struct
import threading
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

_logger = logging.getLogger(__name__)

MINUTE_S = 60.0
_SLOT = struct.Struct("=16sdQ")
_SLOTS = 1 << 16
_PROBES = 32
"""A key is in one of so many slots from its own on."""
_PROBED_BYTES = _PROBES * _SLOT.size
_BYTES = _SLOTS * _SLOT.size + _PROBED_BYTES


class _Found(NamedTuple):
    """A key's slot in the table, when the key's minute began, and the calls since then."""

    place: int
    began_s: float
    calls: int


class CallCounts:
    """Counts calls. Thread-safe; never waits for another process.

    ``path`` None, or a file that cannot be used: calls count in this process only. ``clock`` gives seconds, the same
    ones in all processes of the host.
    """

    def __init__(self, path: Path | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._fd: int | None = None
        self._own: bytearray | None = None
        """The table where there is no file."""

    def count(self, limits: Sequence[tuple[str, int]]) -> float | None:
        """Count a call under keys, each with the most calls of a minute.

        Returns 0.0 when the call is counted; else, with nothing counted, the seconds until the call may be made. None:
        another process is counting; try again soon.
        """
        with self._lock:
            if self._own is None and self._fd is None:
                self._open()
            if self._own is not None or self._fd is None:
                return self._count(limits)
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
            except (BlockingIOError, PermissionError):
                return None
            try:
                return self._count(limits)
            except OSError as error:
                self._count_alone(error)
                return self._count(limits)
            finally:
                fcntl.lockf(self._fd, fcntl.LOCK_UN, 1)

    def _open(self) -> None:
        try:
            # Kept open: closing the file once would release the lock.
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._fd = None if self._path is None else os.open(self._path, flags, 0o600)
        except OSError as error:
            self._count_alone(error)
        if self._fd is None:
            self._own = bytearray(_BYTES)

    def _count_alone(self, error: OSError) -> None:
        _logger.warning("Rate limits count in each web worker for itself: %s.", error.strerror)
        self._own = bytearray(_BYTES)

    def _count(self, limits: Sequence[tuple[str, int]]) -> float:
        now = self._clock()
        digests = [_digest(key) for key, _ in limits]
        slots = [self._find(digest, now) for digest in digests]
        waits = [
            slot.began_s + MINUTE_S - now for slot, (_, most) in zip(slots, limits, strict=True) if slot.calls >= most
        ]
        if waits:
            return max(waits)
        written = set()
        for digest, slot in zip(digests, slots, strict=True):
            # Two new keys may have found the same free slot.
            place, began, calls = self._find(digest, now) if slot.place in written else slot
            self._write(place, _SLOT.pack(digest, began, calls + 1))
            written.add(place)
        return 0.0

    def _find(self, digest: bytes, now: float) -> _Found:
        start = int.from_bytes(digest[:4], "big") % _SLOTS * _SLOT.size
        free, oldest = start, float("inf")
        for number, (known, began, calls) in enumerate(_SLOT.iter_unpack(self._read(start))):
            # Before a start of the machine the clock had larger numbers.
            live = 0 <= now - began < MINUTE_S
            place = start + number * _SLOT.size
            if known == digest:
                return _Found(place, began, calls) if live else _Found(place, now, 0)
            age = began if live else float("-inf")
            if age < oldest:
                free, oldest = place, age
        # Where no slot is free, the key whose minute is over soonest loses its count.
        return _Found(free, now, 0)

    def _read(self, start: int) -> bytes:
        if self._own is not None or self._fd is None:
            return bytes((self._own or b"")[start : start + _PROBED_BYTES])
        return os.pread(self._fd, _PROBED_BYTES, start).ljust(_PROBED_BYTES, b"\0")

    def _write(self, place: int, slot: bytes) -> None:
        if self._own is not None:
            self._own[place : place + len(slot)] = slot
        elif self._fd is not None:
            os.pwrite(self._fd, slot, place)


@lru_cache(maxsize=4096)
def _digest(key: str) -> bytes:
    return blake2b(key.encode(errors="replace"), digest_size=16).digest()
