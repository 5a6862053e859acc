"""How much each entity is used, from what the web workers of the host count: for the controller, at every look.

The files are read whole and their keys only when a file has grown, so that a look at thousands of versions takes
milliseconds.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_serving_plugin.metrics.families import IN_FLIGHT, REFUSED, REQUESTS, SHADOW_REQUESTS
from mlflow_serving_plugin.worker.counts import LARGEST_BYTES, key_of, layout

Key = tuple[str, str]
"""An endpoint's id and the name of an entity."""

_PREFIXES = tuple(key_of(name)[:-1] + "," for name in (IN_FLIGHT, REQUESTS, REFUSED, SHADOW_REQUESTS))
_VALUE = struct.Struct("=d")


@dataclass(slots=True)
class _File:
    """Where one process counts what. ``counts``: of requests at the last look, by their places."""

    size: int = -1
    grew: bool = True
    in_hand_at: dict[Key, int] = field(default_factory=dict)
    answered_at: dict[int, Key] = field(default_factory=dict)
    refused_at: dict[int, Key] = field(default_factory=dict)
    counts: dict[int, float] = field(default_factory=dict)


class UsageReader:
    """Looks at the files of one directory. Not thread-safe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, _File] | None = None

    def look(self) -> tuple[Counter[Key], set[Key]]:
        """The requests in hand now, and the entities that were asked since the last look.

        A request that is refused before it is read, as for a limit or for its form, asks nobody.
        """
        in_hand: Counter[Key] = Counter()
        used: set[Key] = set()
        first, known = self._files is None, self._files or {}
        self._files = {}
        for path in self._directory.glob("web-*.counts"):
            data, alive = _read(path)
            file = self._files[path.name] = known.get(path.name) or _File()
            _find(file, data)
            asked: Counter[Key] = Counter()
            for sign, places in ((1, file.answered_at), (-1, file.refused_at)):
                for at, key in places.items():
                    (count,) = _VALUE.unpack_from(data, at)
                    if count != (before := file.counts.get(at, 0.0)):
                        file.counts[at] = count
                        asked[key] += sign * int(count - before)
            # What was counted before the first look was not since.
            used |= set() if first else {key for key, count in asked.items() if count}
            for key, at in file.in_hand_at.items() if alive else ():
                in_hand[key] += int(_VALUE.unpack_from(data, at)[0])
        return +in_hand, used


def _read(path: Path) -> tuple[bytes, bool]:
    """A file's content, and whether its process lives: the process holds the file's lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return b"", False
    try:
        data = os.pread(fd, LARGEST_BYTES, 0)
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return data, True
        return data, False
    finally:
        os.close(fd)


def _find(file: _File, data: bytes) -> None:
    """Find the values of a file that has grown; once more at the next look, as the file may be half written now."""
    if len(data) == file.size and not file.grew:
        return
    file.grew, file.size = len(data) != file.size, len(data)
    file.in_hand_at, file.answered_at, file.refused_at = {}, {}, {}
    for text, at, _ in layout(data):
        if text.startswith(_PREFIXES):
            name, endpoint_id, version, *_labels = json.loads(text)
            if endpoint_id and name == IN_FLIGHT:
                file.in_hand_at[endpoint_id, version] = at
            elif endpoint_id:
                places = file.refused_at if name == REFUSED else file.answered_at
                places[at] = (endpoint_id, version)
