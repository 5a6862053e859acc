"""Ends a worker whose cache has grown beyond what its endpoint allows: the disk is everybody's.

Fed by the zygote and the guard, who look after workers. No quota of a file system is an ordinary user's to set, so what
a worker keeps on the disk is added up again and again. Standard library, Python 3.8 or later.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Any, Iterable, Iterator, Mapping, Optional, Set

_LOOK_S = 1.0
_SHARE = 20
"""Adding up takes a twentieth of the time at most."""

_BLOCK = 512
_MB = 1024 * 1024


class CacheWatch:
    """The cache of one worker."""

    def __init__(self, directory: str, most_mb: int) -> None:
        self._directory = directory
        self._most_mb = most_mb
        self._next_at = 0.0

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Optional[CacheWatch]:
        """For ``cache`` and ``cache_mb`` of a worker's configuration; None without a cache."""
        return cls(config["cache"], config["cache_mb"]) if config.get("cache") else None

    def due(self) -> bool:
        """Whether to look now."""
        return time.monotonic() >= self._next_at

    def beyond(self, pids: Iterable[int]) -> Optional[str]:
        """For the log, where the controller reads the reason of the worker's end; None within the limit.

        ``pids``: the worker's processes.
        """
        began = time.monotonic()
        used = used_bytes(self._directory, pids)
        ended = time.monotonic()
        self._next_at = ended + max(_LOOK_S, _SHARE * (ended - began))
        if used <= self._most_mb * _MB:
            return None
        return (
            f"ending: its cache has {used // _MB} MB, more than the {self._most_mb} that its endpoint's cache_mb allows"
        )


def used_bytes(directory: str, pids: Iterable[int] = ()) -> int:
    """What a directory takes on the disk, with files that are removed but held open by these processes."""
    try:
        device = os.stat(directory).st_dev
    except OSError:
        return 0
    known: Set[int] = set()
    used = 0
    for found in _held(device, pids) if pids else ():
        used += _size(found, known)
    for _, names, files, fd in os.fwalk(directory, follow_symlinks=False):
        for name in (*names, *files):
            with contextlib.suppress(OSError):
                used += _size(os.stat(name, dir_fd=fd, follow_symlinks=False), known)
    return used


def _held(device: int, pids: Iterable[int]) -> Iterator[os.stat_result]:
    """The files of a device that processes hold open, and that no directory has any more."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for name in os.listdir(f"/proc/{pid}/fd"):
                with contextlib.suppress(OSError):
                    found = os.stat(f"/proc/{pid}/fd/{name}")
                    if found.st_dev == device and found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                        yield found


def _size(found: os.stat_result, known: Set[int]) -> int:
    if found.st_ino in known:
        return 0
    known.add(found.st_ino)
    # An empty file takes an entry too.
    return (found.st_blocks + 1) * _BLOCK
