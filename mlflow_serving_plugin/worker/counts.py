"""What one process counts, in memory, and the file from which other processes read it.

A file is a sequence of records: length of the key and number of values (u32 each), the key in UTF-8, filled up with
zeros to a multiple of 8 bytes, and the values (f64), all in the machine's byte order. Bytes after the last complete
record are ignored. A process holds a lock on its file while the process lives; a file without a lock belongs to an
ended process.

Counting changes memory only, and ``flush`` writes the file. A mapped file would keep every count before a kill, but on
a full disk the kernel ends a process that writes to a mapped page (SIGBUS).

Standard library, Python 3.8 or later: this module runs in web workers and in the model's environment.
"""

from __future__ import annotations

import fcntl
import json
import mmap
import os
import struct
from bisect import bisect_left
from typing import Callable, Iterator, Optional, Sequence

BATCH_ROWS, WORKER_CPU = "batch_rows", "worker_cpu"
BATCH_ROWS_BOUNDS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LARGEST_BYTES = 4 * 1024 * 1024
"""Of a file. Series that do not fit, after tens of thousands of versions in one process's life, are not counted."""

_HEAD = struct.Struct("=II")
_LARGEST_KEY_BYTES = 1024
_LARGEST_BLOCK = 64
_NOWHERE = ""
"""The key of values that are not read."""


class Counts:
    """Not thread-safe, but ``flush`` may run in another thread than the rest. ``path`` None: nothing is written.

    ``send`` takes the counts in place of a file.
    """

    def __init__(self, path: str | None, send: Optional[Callable[[bytes], None]] = None) -> None:
        self._file = None if path is None else CountsFile(path)
        self._send = send if self._file is None else self._file.write
        self._written = b""
        # Takes memory only as pages are used, and never moves.
        self._image = mmap.mmap(-1, LARGEST_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self._used = 0
        self.values = memoryview(self._image).cast("d")
        """All values, by the indexes that ``allot`` gives."""
        self._nowhere = self.allot(_NOWHERE, _LARGEST_BLOCK)

    def allot(self, key: str, count: int) -> int:
        """Make room for ``count`` values, at most 64, all 0: the index of the first. Each key only once."""
        name = key.encode()
        name += b"\0" * (-len(name) % 8)
        end = self._used + _HEAD.size + len(name) + 8 * count
        if end > LARGEST_BYTES or len(name) > _LARGEST_KEY_BYTES:
            return self._nowhere
        start = self._used + _HEAD.size
        self._image[self._used : start + len(name)] = _HEAD.pack(len(name), count) + name
        self._used = end
        return (start + len(name)) // 8

    def flush(self) -> None:
        """Write the counts; OSError when the file cannot be written. The counts stay in memory for the next flush."""
        if self._send is None:
            return
        if self._file is not None and self._file.make():
            self._written = b""
        data = self._image[: self._used]
        if data != self._written:
            self._send(data)
            self._written = data

    def close(self) -> None:
        """Close the file, which other processes go on reading."""
        if self._file is not None:
            self._file.close()


class CountsFile:
    """The file of one process's counts. Locked while this process lives."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fd: int | None = None

    def make(self) -> bool:
        """Make the file unless this process's file is still there; whether the file is a new one. OSError."""
        if self._fd is not None and not _same_file(self._fd, self._path):
            self.close()
        if self._fd is not None:
            return False
        self._fd = _create(self._path)
        return True

    def write(self, data: bytes) -> None:
        """Put counts in the file, at most ``LARGEST_BYTES`` of them. OSError."""
        self.make()
        assert self._fd is not None  # noqa: S101 - by make
        done = 0
        while done < len(data):
            done += os.pwrite(self._fd, memoryview(data)[done:], done)

    def close(self) -> None:
        """Close the file, which other processes go on reading."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Histogram:
    """Observations by size: one value for each bound, one value for larger sizes, and the sum of all sizes."""

    def __init__(self, counts: Counts, key: str, bounds: Sequence[float]) -> None:
        self._values = counts.values
        self._bounds = bounds
        self._first = counts.allot(key, len(bounds) + 2)
        self._sum = self._first + len(bounds) + 1

    def observe(self, size: float) -> None:
        """Count one observation."""
        self._values[self._first + bisect_left(self._bounds, size)] += 1
        self._values[self._sum] += size


def key_of(name: str, *labels: object) -> str:
    """The key of a series."""
    return json.dumps([name, *labels], separators=(",", ":"))


def records(data: bytes) -> Iterator[tuple[str, tuple[float, ...]]]:
    """The complete records of a file, up to the first malformed record. The file may hold anything."""
    for key, at, count in layout(data):
        yield key, struct.unpack_from(f"={count}d", data, at)


def layout(data: bytes) -> Iterator[tuple[str, int, int]]:
    """Each complete record's key, the offset of its values in bytes, and how many values there are.

    A record stays where it is for as long as its process counts.
    """
    start = 0
    while start + _HEAD.size <= len(data):
        name_bytes, count = _HEAD.unpack_from(data, start)
        values_at = start + _HEAD.size + name_bytes
        end = values_at + 8 * count
        if not count or count > _LARGEST_BLOCK or name_bytes > _LARGEST_KEY_BYTES or end > len(data):
            return
        name = data[start + _HEAD.size : values_at].rstrip(b"\0")
        if name:
            yield name.decode("utf-8", "replace"), values_at, count
        start = end


def _create(path: str) -> int:
    """A new file, locked before the file gets its name."""
    scratch = f"{path}.tmp"
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    fd = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(scratch, path)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _same_file(fd: int, path: str) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), os.stat(path))
    except OSError:
        return False
