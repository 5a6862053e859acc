"""The history of this host for those who ask: series of a range, and what the last hour was like. Feeds the API."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.metrics.deltas import Key
from mlflow_serving_plugin.metrics.history_file import COARSE_S, FINE_S, RETOLD_S
from mlflow_serving_plugin.metrics.sample import Gauges, Sample, load_sample, quantile_ms

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")

SPARK_S, SPARKS = 120, 30
"""The last hour in steps of two minutes."""

_LATELY_S = 60
"""What "now" means for rates: with fewer requests a minute, a rate says little anyway."""


@dataclass(frozen=True, slots=True)
class Range:
    """Steps of ``step`` seconds from ``begin`` to ``end``, in seconds since 1970, multiples of the step."""

    begin: int
    end: int
    step: int

    @property
    def times(self) -> range:
        """The beginning of each step."""
        return range(self.begin, self.end, self.step)

    def index(self, at: int) -> int:
        """The number of the step that a moment is in."""
        return (at - self.begin) // self.step


@dataclass(frozen=True, slots=True)
class History:
    """What was measured within a range. ``samples``: by entity; None for a step of which nothing is known."""

    steps: Range
    measured: list[bool]
    samples: Mapping[str, list[Sample | None]]


@dataclass(slots=True)
class Lately:
    """What an endpoint or a version did within the last hour. None: not measured."""

    requests_per_second: float | None = None
    p95_ms: float | None = None
    error_share: float | None = None
    spark: list[int | None] = field(default_factory=lambda: [None] * SPARKS)
    """Requests in steps of two minutes, the oldest first."""


@dataclass(frozen=True, slots=True)
class Hour:
    """What entities did within the last hour. Steps of two minutes go by their number since 1970.

    ``until``: the present step.
    """

    until: int = -1
    measured: frozenset[int] = frozenset()
    counts: Mapping[Key, Mapping[int, int]] = field(default_factory=dict)
    last_minute: Mapping[Key, Sample] = field(default_factory=dict)
    last_minute_s: int = 0
    """How many seconds of the last minute were measured."""

    def lately(self, keys: Sequence[Key]) -> Lately:
        """What entities together did."""
        spark: list[int | None] = [
            sum(self.counts.get(key, {}).get(at, 0) for key in keys) if at in self.measured else None
            for at in range(self.until - SPARKS + 1, self.until + 1)
        ]
        if not self.last_minute_s:
            return Lately(spark=spark)
        whole = Sample()
        for key in keys:
            if key in self.last_minute:
                whole.add(self.last_minute[key])
        requests = whole.requests
        return Lately(
            requests_per_second=round(requests / self.last_minute_s, 3),
            p95_ms=quantile_ms(whole.durations, 0.95),
            error_share=round(whole.server_errors / requests, 4) if requests else None,
            spark=spark,
        )


class HistoryReader:
    """A web worker's end of the file. Thread-safe. A file that cannot be read is a history of nothing."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._last = -1
        self._hour = Hour()
        self._unreadable = Throttled(_logger, every_s=60.0)

    def read(self, endpoint_id: str, steps: Range, entity: str | None = None) -> History:
        """What an endpoint's entities did, or one of them."""
        nothing = History(steps, [False] * len(steps.times), {})
        return self._ask(lambda connection: _read(connection, endpoint_id, steps, entity), nothing)

    def hour(self) -> Hour:
        """The last hour; read anew once something was recorded."""
        with self._lock:
            self._hour = self._ask(self._refresh, Hour())
            return self._hour

    def _refresh(self, connection: sqlite3.Connection) -> Hour:
        last = connection.execute("SELECT max(time) FROM measured WHERE step = ?", (FINE_S,)).fetchone()[0]
        now = int(self._clock())
        if last is not None and last == self._last and self._hour.until == now // SPARK_S:
            return self._hour
        self._last = -1 if last is None else last
        return _hour(connection, now)

    def _ask(self, question: Callable[[sqlite3.Connection], _T], nothing: _T) -> _T:
        if not self._path.exists():
            return nothing
        try:
            # Not read-only: a reader may have to make the files beside a write-ahead log.
            with closing(sqlite3.connect(self._path, timeout=2.0)) as connection:
                connection.execute("PRAGMA query_only=1")
                return question(connection)
        except (sqlite3.Error, ValueError, TypeError, KeyError) as error:
            self._unreadable.log(logging.WARNING, "The history could not be read: %s", error)
            return nothing


def _read(connection: sqlite3.Connection, endpoint_id: str, steps: Range, entity: str | None) -> History:
    names = dict(connection.execute("SELECT id, name FROM entities WHERE endpoint = ?", (endpoint_id,)).fetchall())
    names = {number: name for number, name in names.items() if entity in (None, name)}
    measured = [False] * len(steps.times)
    rows: dict[str, list[tuple[int, Sample]]] = {name: [] for name in names.values()}
    for step, begin, end in _tables(connection, steps):
        query = "SELECT time FROM measured WHERE step = ? AND time >= ? AND time < ?"
        for (at,) in connection.execute(query, (step, max(begin, steps.begin), end)):
            measured[steps.index(at)] = True
        for at, number, text in _rows(connection, step, begin, end, list(names)):
            rows[names[number]].append((at, load_sample(text)))
    return History(steps, measured, {name: _in_steps(found, steps, measured) for name, found in rows.items() if found})


def _tables(connection: sqlite3.Connection, steps: Range) -> list[tuple[int, int, int]]:
    """Which table to read from when to when. It begins before the range, where the gauges are from."""
    coarse_until = 0
    if steps.step % COARSE_S == 0:
        query = "SELECT max(time) FROM measured WHERE step = ?"
        coarse_until = (connection.execute(query, (COARSE_S,)).fetchone()[0] or -COARSE_S) + COARSE_S
    begin = steps.begin - RETOLD_S - COARSE_S
    middle = min(coarse_until, steps.end)
    if middle <= steps.begin:
        return [(FINE_S, begin, steps.end)]
    return [(COARSE_S, begin, middle), (FINE_S, middle, steps.end)]


def _rows(
    connection: sqlite3.Connection, step: int, begin: int, end: int, entities: list[int]
) -> Iterator[tuple[int, int, bytes]]:
    """Each time and entity is looked up, as a scan would read the rows of all other endpoints."""
    yield from connection.execute(
        "SELECT time, entity, sample FROM steps WHERE step = ? AND entity IN (SELECT value FROM json_each(?)) "
        "AND time IN (SELECT time FROM measured WHERE step = ? AND time >= ? AND time < ?) ORDER BY time",
        (step, json.dumps(entities), step, begin, end),
    )


def _in_steps(rows: list[tuple[int, Sample]], steps: Range, measured: list[bool]) -> list[Sample | None]:
    """Rows, by time, as one sample for each step. Gauges without a row are as before."""
    by_step: dict[int, list[tuple[int, Sample]]] = defaultdict(list)
    known: Gauges | None = None
    for at, sample in rows:
        if at < steps.begin:
            known = sample.end
        else:
            by_step[steps.index(at)].append((at, sample))
    found: list[Sample | None] = []
    for number, begin in enumerate(steps.times):
        whole = None if known is None else Sample(in_hand=known[0], replicas=known[1], memory_bytes=known[2])
        for at, sample in by_step[number]:
            whole = Sample() if whole is None or at == begin else whole
            whole.add(sample)
        known = known if whole is None else whole.end
        found.append(whole if measured[number] else None)
    return found


def _hour(connection: sqlite3.Connection, now: int) -> Hour:
    until = now // SPARK_S
    begin = (until - SPARKS + 1) * SPARK_S
    names = {number: (endpoint, name) for number, endpoint, name in connection.execute("SELECT * FROM entities")}
    query = "SELECT DISTINCT time / ? FROM measured WHERE step = ? AND time >= ?"
    measured = frozenset(at for (at,) in connection.execute(query, (SPARK_S, FINE_S, begin)))
    counts: dict[Key, dict[int, int]] = defaultdict(dict)
    query = "SELECT entity, time / ?, sum(requests) FROM steps WHERE step = ? AND time >= ? GROUP BY 1, 2"
    for number, at, requests in connection.execute(query, (SPARK_S, FINE_S, begin)):
        if requests and number in names:
            counts[names[number]][at] = requests
    last_minute: dict[Key, Sample] = defaultdict(Sample)
    minute = now // FINE_S * FINE_S - _LATELY_S
    query = "SELECT entity, sample FROM steps WHERE step = ? AND time >= ? AND requests > 0"
    for number, text in connection.execute(query, (FINE_S, minute)):
        if number in names:
            last_minute[names[number]].add(load_sample(text))
    query = "SELECT count(*) FROM measured WHERE step = ? AND time >= ?"
    ticks = connection.execute(query, (FINE_S, minute)).fetchone()[0]
    return Hour(until, measured, counts, last_minute, ticks * FINE_S)
