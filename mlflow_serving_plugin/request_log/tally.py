"""How many requests a web worker has taken in hand for the log, and how many of them are settled.

A count in a mapped file survives a kill to the last request. What a killed web worker had in hand and nobody has
written is counted as lost by the writer, who finds the file without its lock. All pages are allotted beforehand: on a
full disk the kernel ends a process that writes to a mapped page without room (SIGBUS).

Slots of fixed size: two numbers (u64), taken and settled, the length of the key (u16), and the key in UTF-8.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import mmap
import os
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path

from mlflow_serving_plugin.metrics.files import is_unlocked, open_regular

SUFFIX = ".tally"
_SLOT_BYTES, _SLOTS = 256, 256
_KEY = struct.Struct("=H")
_NUMBERS = struct.Struct("=QQ")
_KEY_AT, _TEXT_AT = _NUMBERS.size, _NUMBERS.size + _KEY.size

Key = tuple[str, str]
"""An endpoint's id and the name of an entity."""


class Tally:
    """One web worker's counts. Not thread-safe, but ``taken`` and ``settled`` may be called from two threads.

    OSError when the file cannot be made.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / f"{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        scratch = self._path.with_suffix(".tmp")
        fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _allot(fd, _SLOT_BYTES * _SLOTS)
            # The map has a descriptor of its own, which keeps the lock.
            self._image = mmap.mmap(fd, _SLOT_BYTES * _SLOTS)
            scratch.rename(self._path)
        except BaseException:
            scratch.unlink(missing_ok=True)
            raise
        finally:
            os.close(fd)
        self._numbers = memoryview(self._image).cast("Q")
        self._slots: dict[Key, int] = {}

    def taken(self, key: Key) -> None:
        """A request is in hand."""
        self._numbers[self._slot(key)] += 1

    def settled(self, key: Key, number: int) -> None:
        """So many requests are in a segment, or are counted as dropped."""
        self._numbers[self._slot(key) + 1] += number

    def close(self) -> None:
        """All requests are settled."""
        self._path.unlink(missing_ok=True)
        self._numbers.release()
        self._image.close()

    def _slot(self, key: Key) -> int:
        """The index of a key's first number. Keys without a slot of their own share the last slot, which has no key."""
        found = self._slots.get(key)
        if found is None:
            text, free = json.dumps(key).encode(), len(self._slots)
            number = free if free < _SLOTS - 1 and len(text) <= _SLOT_BYTES - _TEXT_AT else _SLOTS - 1
            if number < _SLOTS - 1:
                start = number * _SLOT_BYTES + _KEY_AT
                self._image[start : start + _KEY.size + len(text)] = _KEY.pack(len(text)) + text
            found = self._slots[key] = number * _SLOT_BYTES // 8
        return found


def take_lost(directory: Path) -> Iterator[tuple[Key, int]]:
    """What web workers had in hand that were killed, and how much of that. The files are removed."""
    for path in directory.glob(f"*{SUFFIX}"):
        try:
            fd = open_regular(path)
        except OSError:
            continue
        try:
            if not is_unlocked(fd):
                continue
            data = os.pread(fd, _SLOT_BYTES * _SLOTS, 0)
            path.unlink(missing_ok=True)
        finally:
            os.close(fd)
        yield from _lost(data)


def _lost(data: bytes) -> Iterator[tuple[Key, int]]:
    for start in range(0, len(data) - _SLOT_BYTES + 1, _SLOT_BYTES):
        taken, settled = _NUMBERS.unpack_from(data, start)
        length = _KEY.unpack_from(data, start + _KEY_AT)[0]
        key: Key = ("", "")
        with contextlib.suppress(ValueError, TypeError):
            endpoint_id, entity = json.loads(data[start + _TEXT_AT : start + _TEXT_AT + length])
            key = str(endpoint_id), str(entity)
        if taken > settled:
            yield key, taken - settled


def _allot(fd: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, 0, size)
    else:  # macOS
        os.pwrite(fd, bytes(size), 0)
