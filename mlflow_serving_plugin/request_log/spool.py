"""A web worker's end of the log: a bounded queue, and a thread that appends what is in it to segments."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.request_log.record import Record, dump
from mlflow_serving_plugin.request_log.segments import Label, Segment, bytes_waiting
from mlflow_serving_plugin.request_log.tally import Key, Tally

_logger = logging.getLogger(__name__)

MOST_RECORDS, MOST_BYTES = 20_000, 64 * 2**20
"""Of the queue of one web worker."""

SEGMENT_S, _SEGMENT_BYTES = 10.0, 32 * 2**20
_TALLY_AGAIN_S = 10.0
_PAUSE_S = 0.25
"""What a killed process loses, and how many records are written at once."""

TAKEN, DROPPED = "taken", "dropped"
Count = Callable[[tuple[str, str, str], int], None]
"""Counts records by endpoint id, entity and outcome."""


class Entry(NamedTuple):
    """A record on its way."""

    label: Label
    record: Record
    size: int


class Spool:
    """``put`` from any thread, never blocks; the thread starts with ``start``, in the process that answers requests.

    ``most_bytes``: of all segments of the host; further records are dropped, as the writer cannot keep up.
    """

    def __init__(self, directory: Path, count: Count, most_bytes: int) -> None:
        self._directory = directory
        self._count = count
        self._most_bytes = most_bytes
        self._lock = threading.Lock()
        self._queue: deque[Entry] = deque()
        self._bytes = 0
        self._dropped: Counter[tuple[str, str]] = Counter()
        self._full = False
        self._segments: dict[str, Segment] = {}
        self._tally: Tally | None = None
        self._tally_at = 0.0
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failing = Throttled(_logger, every_s=60.0)

    def put(self, label: Label, record: Record) -> None:
        """Log a request, or drop and count it when the queue is full."""
        request, response = record.request, record.response
        size = (len(request) if request else 0) + (len(response) if response else 0)
        key = label.endpoint_id, record.entity
        with self._lock:
            self._tell(key)
            if self._full or len(self._queue) >= MOST_RECORDS or self._bytes + size > MOST_BYTES:
                self._dropped[key] += 1
            else:
                self._bytes += size
                self._queue.append(Entry(label, record, size))
        if not self._wake.is_set():
            self._wake.set()

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="serving request log", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Write what waits, and finish all segments."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5.0)
        with self._lock:
            if self._tally is not None and (self._thread is None or not self._thread.is_alive()):
                self._tally.close()
                self._tally = None

    def _tell(self, key: Key) -> None:
        """Count a request that is in hand, for the case that this process is killed."""
        if self._tally is None and not self._stop.is_set() and time.monotonic() >= self._tally_at:
            self._tally_at = time.monotonic() + _TALLY_AGAIN_S
            with contextlib.suppress(OSError):
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._tally = Tally(self._directory)
        if self._tally is not None:
            self._tally.taken(key)

    def _settle(self, key: Key, outcome: str, number: int) -> None:
        self._count((*key, outcome), number)
        if self._tally is not None:
            self._tally.settled(key, number)

    def _run(self) -> None:
        while not self._stop.is_set():
            # Without a record nothing happens, but for segments that are due to be finished.
            self._wake.wait(SEGMENT_S / 4 if self._segments else None)
            self._stop.wait(_PAUSE_S)
            self._wake.clear()
            self._write()
            self._finish(all_of_them=False)
        self._write()
        self._finish(all_of_them=True)

    def _write(self) -> None:
        with self._lock:
            waiting, self._queue = self._queue, deque()
            dropped, self._dropped = self._dropped, Counter()
        by_label: dict[Label, list[Entry]] = {}
        for entry in waiting:
            by_label.setdefault(entry.label, []).append(entry)
        for label, entries in by_label.items():
            entities = Counter((label.endpoint_id, entry.record.entity) for entry in entries)
            try:
                self._segment(label).append([dump(entry.record) for entry in entries])
            except OSError as error:
                self._failing.log(logging.WARNING, "Requests are not logged, as they cannot be written: %s", error)
                dropped.update(entities)
                continue
            for key, number in entities.items():
                self._settle(key, TAKEN, number)
        for key, number in dropped.items():
            self._settle(key, DROPPED, number)
        with self._lock:
            self._bytes -= sum(entry.size for entry in waiting)

    def _segment(self, label: Label) -> Segment:
        present = self._segments.get(label.endpoint_id)
        if present is not None and present.label == label:
            return present
        if present is not None:
            self._segments.pop(label.endpoint_id).close()
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._full = bytes_waiting(self._directory) > self._most_bytes
        if self._full:
            raise OSError("the writer of the request log does not keep up, or cannot reach the log")
        made = self._segments[label.endpoint_id] = Segment(self._directory, label)
        return made

    def _finish(self, *, all_of_them: bool) -> None:
        now = time.monotonic()
        for endpoint_id, segment in list(self._segments.items()):
            if all_of_them or now - segment.begun >= SEGMENT_S or segment.size >= _SEGMENT_BYTES:
                del self._segments[endpoint_id]
                with contextlib.suppress(OSError):
                    segment.close()
        if self._full:
            with contextlib.suppress(OSError):
                self._full = bytes_waiting(self._directory) > self._most_bytes
