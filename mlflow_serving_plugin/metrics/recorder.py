"""Fills the history of the host: once every ten seconds, by the one controller of the host, off its loop."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.metrics.deltas import CountsDeltas, Key
from mlflow_serving_plugin.metrics.families import IN_FLIGHT, WORKER_MEMORY
from mlflow_serving_plugin.metrics.history_file import COARSE_S, FINE_S, RETOLD_S, HistoryFile
from mlflow_serving_plugin.metrics.sample import Gauges, Sample

_logger = logging.getLogger(__name__)

_NO_CHANGE_BYTES, _NO_CHANGE_SHARE = 2**20, 0.02
"""Measured memory wavers with each process that shares its pages."""

_NOTHING: Gauges = (0, 0, 0)


class Recorder:
    """Takes what was counted, and writes a row for each entity that changed. Thread-safe. ``clock``: since 1970.

    While the file cannot be written the steps are lost, and the history shows that nothing was measured.
    """

    def __init__(self, metrics: Path, history: Path, max_bytes: int, *, clock: Callable[[], float] = time.time) -> None:
        self._deltas = CountsDeltas(metrics)
        self._file = HistoryFile(history, max_bytes) if max_bytes else None
        self._clock = clock
        self._lock = threading.Lock()
        self._pending: dict[Key, Sample] = {}
        self._told: dict[Key, Gauges] = {}
        self._gauges: dict[str, dict[Key, float]] = {}
        self._next_tidy = 0.0
        self._unwritable = Throttled(_logger, every_s=60.0)
        self.look()

    def look(self) -> None:
        """Take what was counted since the last look, such as before files of ended processes are removed."""
        if self._file is None:
            return
        with self._lock:
            changes = self._deltas.look()
            self._gauges = {name: dict(found) for name, found in changes.gauges.items()}
            for key, sample in changes.samples.items():
                if key in self._pending:
                    self._pending[key].add(sample)
                else:
                    self._pending[key] = sample

    def record(self, routes: Routes) -> None:
        """Write the step that has just ended."""
        if self._file is not None:
            self._write(self._file, routes, int(self._clock()) // FINE_S * FINE_S - FINE_S)

    def close(self, routes: Routes) -> None:
        """Write what the present step has had so far, to which the next controller adds, and close the file."""
        if self._file is not None:
            self._write(self._file, routes, int(self._clock()) // FINE_S * FINE_S)
            with self._lock:
                self._file.close()

    def _write(self, file: HistoryFile, routes: Routes, step: int) -> None:
        self.look()
        with self._lock:
            samples, self._pending = self._pending, {}
            gauges = self._take_gauges(routes, samples, step)
            try:
                file.write(step, samples)
                self._told.update(gauges)
                if step >= self._next_tidy:
                    self._next_tidy = (step // COARSE_S + 1) * COARSE_S
                    file.tidy(step + FINE_S)
            except OSError as error:
                self._unwritable.log(logging.WARNING, "What versions do is not recorded: %s", error)

    def _take_gauges(self, routes: Routes, samples: dict[Key, Sample], step: int) -> dict[Key, Gauges]:
        """Put gauges into the samples, with a sample for each entity whose gauges have changed; the gauges told."""
        in_hand, memory = self._gauges.get(IN_FLIGHT, {}), self._gauges.get(WORKER_MEMORY, {})
        now: dict[Key, Gauges] = {}
        for entity in routes.entities.values():
            key = (entity.key.endpoint_id, entity.name)
            now[key] = (int(in_hand.get(key, 0)), len(entity.ready_workers), int(memory.get(key, 0)))
        told: dict[Key, Gauges] = {}
        turn = step // FINE_S % (RETOLD_S // FINE_S)
        for key in {*now, *self._told, *samples}:
            found = now.get(key, _NOTHING)
            sample = samples.get(key)
            retell = key in now and hash(key) % (RETOLD_S // FINE_S) == turn
            if sample is None and not retell and not _differ(self._told.get(key), found):
                continue
            sample = samples.setdefault(key, Sample())
            sample.in_hand, sample.replicas, sample.memory_bytes = found
            told[key] = found
        for key in [key for key in self._told if key not in now and key not in told]:
            del self._told[key]
        return told


def _differ(told: Gauges | None, now: Gauges) -> bool:
    if told is None or told[:2] != now[:2]:
        return True
    change, most = abs(told[2] - now[2]), max(told[2], now[2])
    return change > max(_NO_CHANGE_BYTES, _NO_CHANGE_SHARE * most) or (change > 0 and 0 in (told[2], now[2]))
