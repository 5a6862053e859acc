"""Segments: files of records that a web worker appends to. A segment without a lock is finished, whoever wrote it.

A segment begins with one line of JSON, its *label*: of which endpoint the records are, and where they are to go.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow_serving_plugin.request_log.record import Record, load

SUFFIX = ".segment"
_LONGEST_LABEL = 64 * 1024


@dataclass(frozen=True, slots=True)
class Label:
    """What all records of a segment share. ``place``: a directory or a URI."""

    endpoint_id: str
    place: str
    format: str
    redact: tuple[str, ...]
    retention_days: float
    max_bytes: int


class Segment:
    """A segment under way. Not thread-safe; all methods raise OSError."""

    def __init__(self, directory: Path, label: Label) -> None:
        self.label = label
        self.begun = time.monotonic()
        self.size = 0
        path = directory / f"{time.time_ns()}-{os.getpid()}-{uuid.uuid4().hex[:8]}{SUFFIX}"
        # Locked before the file gets its name, so that nobody takes the segment for a finished one.
        scratch = path.with_suffix(".tmp")
        self._fd = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.append([json.dumps(asdict(label)).encode() + b"\n"])
            scratch.rename(path)
        except BaseException:
            os.close(self._fd)
            scratch.unlink(missing_ok=True)
            raise

    def append(self, records: list[bytes]) -> None:
        """Append records. On a full disk, what was written in part is taken back."""
        data = b"".join(records)
        done = 0
        try:
            while done < len(data):
                done += os.write(self._fd, memoryview(data)[done:])
        except OSError:
            os.ftruncate(self._fd, self.size)
            raise
        self.size += len(data)

    def close(self) -> None:
        """Finish the segment."""
        os.close(self._fd)


@dataclass(frozen=True, slots=True)
class Finished:
    """A segment that nobody writes any more."""

    path: Path
    label: Label
    start: int
    """Where the records begin, in bytes."""

    def records(self) -> Iterator[Record]:
        """The whole records."""
        return load(self.path.read_bytes(), self.start)


def finished(directory: Path) -> tuple[list[Finished], list[Path]]:
    """The finished segments, the oldest first, and the files that are no segments."""
    found, unusable = [], []
    for path in sorted(directory.glob(f"*{SUFFIX}")):
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
            line, newline, _ = os.pread(fd, _LONGEST_LABEL, 0).partition(b"\n")
            label = Label(**json.loads(line)) if newline else None
        except BlockingIOError:
            continue
        except (OSError, ValueError, TypeError):
            label = None
        finally:
            os.close(fd)
        if label is None:
            unusable.append(path)
        else:
            found.append(Finished(path, label, len(line) + 1))
    return found, unusable


def bytes_waiting(directory: Path) -> int:
    """The size of all segments."""
    total = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if not entry.name.endswith(SUFFIX):
                continue
            try:
                total += entry.stat(follow_symlinks=False).st_size
            except OSError:
                continue
    return total
