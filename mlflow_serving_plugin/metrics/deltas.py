"""What the processes of the host have counted since the last look, by entity. Fed by metrics files; feeds the history.

A record stays where it is in its file, so two looks at one file differ in the words that were counted meanwhile. With
thousands of versions, a look takes milliseconds.
"""

from __future__ import annotations

import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlflow_serving_plugin.metrics.families import (
    FIRST_EVENT_SECONDS,
    IN_FLIGHT,
    REQUEST_SECONDS,
    REQUESTS,
    WORKER_MEMORY,
)
from mlflow_serving_plugin.metrics.files import Series, is_unlocked, open_regular, series_of
from mlflow_serving_plugin.metrics.sample import Sample
from mlflow_serving_plugin.worker.counts import BATCH_ROWS, LARGEST_BYTES, WORKER_CPU, layout

Key = tuple[str, str]
"""An endpoint's id and the name of an entity."""

_OF_WEB = {REQUESTS, REQUEST_SECONDS, FIRST_EVENT_SECONDS, IN_FLIGHT, WORKER_MEMORY}
_OF_WORKER = {BATCH_ROWS, WORKER_CPU}
_GAUGES = {IN_FLIGHT, WORKER_MEMORY}
_LIKELY = 1e12
"""No step counts more than this."""

_MAY_GROW_BYTES = 64 * 1024
"""While a file is looked at. A buffer of the largest size for each of thousands of files would take long to make."""

_FEW = 64
"""Places of a file: more than a model's worker has."""

_SETTLED_NS = 1_000_000_000
"""A file's time of change is too coarse to tell two changes within a few milliseconds apart."""


@dataclass(slots=True)
class Changes:
    """Since the last look. ``gauges``: by metric and entity, of the processes that live now."""

    samples: defaultdict[Key, Sample] = field(default_factory=lambda: defaultdict(Sample))
    gauges: dict[str, defaultdict[Key, float]] = field(
        default_factory=lambda: {name: defaultdict(float) for name in _GAUGES}
    )


@dataclass(slots=True)
class _File:
    """One process's file at the last look. Positions are in words of 8 bytes."""

    words: Any = field(default_factory=lambda: np.zeros(0))
    """All of the file as numbers, be they values or not."""
    places: Any = field(default_factory=lambda: np.zeros(0, np.int64))
    """For each word the number of its place, or -1 for what is no value that counts."""
    counted: list[tuple[Key, Series, int]] = field(default_factory=list)
    """Places: the entity, the series, and the index of the value in the series; -1 for a histogram's sum."""
    spots: Any = field(default_factory=lambda: np.zeros(0, np.int64))
    """For each place its word."""
    values: list[float] | None = None
    """Of a file with few places: what stood there at the last look; None: the places have been found anew."""
    gauges: list[tuple[str, Key, int]] = field(default_factory=list)
    grew: bool = True
    seen: tuple[int, int] = (-1, -1)
    settled: bool = False


class CountsDeltas:
    """Looks at the files of one directory. Not thread-safe. What was counted before the first look is left out."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files: dict[str, _File] | None = None

    def look(self) -> Changes:
        """What was counted since the last look."""
        changes = Changes()
        first, known = self._files is None, self._files or {}
        self._files = {}
        for entry in _entries(self._directory):
            of_worker = entry.name.startswith("worker-")
            if not entry.name.endswith(".counts") or not (of_worker or entry.name.startswith("web-")):
                continue
            file = self._files[entry.name] = known.get(entry.name) or _File()
            _look_at(file, entry, changes, _OF_WORKER if of_worker else _OF_WEB)
        if first:
            changes.samples.clear()
        return changes


def _entries(directory: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(directory) as found:
            return list(found)
    except OSError:
        return []


def _look_at(file: _File, entry: os.DirEntry[str], changes: Changes, wanted: set[str]) -> None:
    try:
        found = entry.stat(follow_symlinks=False)
        seen = (found.st_mtime_ns, found.st_size)
        # The gauges of a web worker end with it, so its file is always looked at.
        if wanted is _OF_WORKER and file.settled and seen == file.seen:
            return
        fd = open_regular(entry.path)
    except OSError:
        return
    try:
        alive = wanted is _OF_WEB and not is_unlocked(fd)
        data = os.pread(fd, min(LARGEST_BYTES, found.st_size + _MAY_GROW_BYTES), 0)
    finally:
        os.close(fd)
    file.seen, file.settled = seen, time.time_ns() - seen[0] > _SETTLED_NS
    before, file.words = file.words, np.frombuffer(data, np.float64, len(data) // 8)
    _find_places(file, data, wanted, grew=len(before) != len(file.words))
    (_take_few_changes if len(file.counted) <= _FEW else _take_changes)(file, before, changes)
    if alive:
        for name, key, at in file.gauges:
            if file.words[at]:
                changes.gauges[name][key] += float(file.words[at])


def _find_places(file: _File, data: bytes, wanted: set[str], *, grew: bool) -> None:
    """Find the values: anew when the file has grown, and once more, as it may have been half written then."""
    if not grew and not file.grew:
        return
    file.grew = grew
    file.counted, file.gauges = [], []
    file.places, file.values = np.full(len(file.words), -1, np.int64), None
    spots: list[int] = []
    for text, at, count in layout(data):
        series = series_of(text)
        if series is None or series[0] not in wanted or not series[1] or not isinstance(series[2], str):
            continue
        key, start = (str(series[1]), series[2]), at // 8
        if series[0] in _GAUGES:
            file.gauges.append((str(series[0]), key, start))
            continue
        file.places[start : start + count] = range(len(file.counted), len(file.counted) + count)
        file.counted += [(key, series, -1 if index == count - 1 > 0 else index) for index in range(count)]
        spots += range(start, start + count)
    file.spots = np.array(spots, np.int64)


def _take_few_changes(file: _File, before: Any, changes: Changes) -> None:
    """As ``_take_changes``: for so few places, a loop costs less than the calls of NumPy."""
    now = file.words[file.spots].tolist()
    last = file.values
    if last is None:
        last = [float(before[spot]) if spot < len(before) else 0.0 for spot in file.spots.tolist()]
    file.values = now
    if now == last:
        return
    for (key, series, index), value, old in zip(file.counted, now, last, strict=True):
        if value != old and 0 < value - old < _LIKELY:
            _add(changes.samples[key], series, index, value - old)


def _take_changes(file: _File, before: Any, changes: Changes) -> None:
    words, old = file.words, np.zeros(len(file.words))
    old[: len(before)] = before[: len(old)]
    # Compared as bits: what is no number is unequal to itself.
    changed = np.flatnonzero((words.view(np.uint64) != old.view(np.uint64)) & (file.places >= 0))
    if not len(changed):
        return
    with np.errstate(all="ignore"):
        grown = (words[changed] - old[changed]).tolist()
    for place, value in zip(file.places[changed].tolist(), grown, strict=True):
        # A worker may write anything in its file.
        if math.isfinite(value) and 0 < value < _LIKELY:
            key, series, index = file.counted[place]
            _add(changes.samples[key], series, index, value)


def _add(sample: Sample, series: Series, index: int, grown: float) -> None:
    name = series[0]
    if name == REQUESTS and isinstance(series[3], int):
        sample.statuses[series[3]] = sample.statuses.get(series[3], 0) + int(grown)
    elif name == BATCH_ROWS and index < 0:
        sample.rows += int(grown)
    elif name == BATCH_ROWS:
        sample.calls += int(grown)
    elif name == WORKER_CPU:
        sample.cpu_s += grown
    elif index >= 0:
        buckets = sample.durations if name == REQUEST_SECONDS else sample.first_events
        buckets[index] = buckets.get(index, 0) + int(grown)
