"""What happened to one entity in one step of time, and how the history keeps a step. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from mlflow_serving_plugin.metrics.families import FAMILIES, REQUEST_SECONDS

BOUNDS_MS = tuple(bound * 1000 for bound in FAMILIES[REQUEST_SECONDS].bounds)
"""The upper bounds of the buckets that durations and first events are counted in; the last bucket has none."""

Gauges = tuple[int, int, int]
"""Requests in hand, ready workers, memory in bytes."""

Buckets = dict[int, int]
"""Observations by the index of their bucket."""


@dataclass(slots=True)
class Sample:
    """One step. ``in_hand``, ``replicas`` and ``memory_bytes``: as of the step's end; of several steps, the highest."""

    statuses: dict[int, int] = field(default_factory=dict)
    """Requests answered, by status."""
    durations: Buckets = field(default_factory=dict)
    first_events: Buckets = field(default_factory=dict)
    """Streams, by the time to their first event."""
    calls: int = 0
    """Calls of the model on workers' fast paths."""
    rows: int = 0
    """Rows in these calls."""
    cpu_s: float = 0.0
    in_hand: int = 0
    replicas: int = 0
    memory_bytes: int = 0
    last: Gauges | None = None
    """Of several steps: the gauges at the end of the last step."""

    @property
    def gauges(self) -> Gauges:
        """Requests in hand, ready workers, memory in bytes."""
        return self.in_hand, self.replicas, self.memory_bytes

    @property
    def end(self) -> Gauges:
        """The gauges at the end."""
        return self.gauges if self.last is None else self.last

    @property
    def requests(self) -> int:
        """Requests answered, of any status."""
        return sum(self.statuses.values())

    @property
    def server_errors(self) -> int:
        """Requests answered with a status from 500 on."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def add(self, other: Sample) -> None:
        """Take in a later step."""
        self.last = other.end
        _add_up(self.statuses, other.statuses)
        _add_up(self.durations, other.durations)
        _add_up(self.first_events, other.first_events)
        self.calls += other.calls
        self.rows += other.rows
        self.cpu_s += other.cpu_s
        self.in_hand = max(self.in_hand, other.in_hand)
        self.replicas = max(self.replicas, other.replicas)
        self.memory_bytes = max(self.memory_bytes, other.memory_bytes)

    def dump(self) -> bytes:
        """The step in few bytes of JSON."""
        parts: dict[str, Any] = {"g": self.gauges}
        for name, counts in (("s", self.statuses), ("d", self.durations), ("f", self.first_events)):
            if counts:
                parts[name] = counts
        if self.calls:
            parts["b"] = (self.calls, self.rows)
        if self.end != self.gauges:
            parts["e"] = self.end
        if self.cpu_s:
            parts["c"] = round(self.cpu_s, 3)
        return orjson.dumps(parts, option=orjson.OPT_NON_STR_KEYS)


def load_sample(text: bytes) -> Sample:
    """The step that ``dump`` gave; ValueError, TypeError or KeyError for anything else."""
    parts = orjson.loads(text)
    statuses, durations, first_events = (
        {int(key): int(count) for key, count in parts.get(name, {}).items()} for name in ("s", "d", "f")
    )
    calls, rows = parts.get("b", (0, 0))
    in_hand, replicas, memory_bytes = parts["g"]
    last = tuple(parts["e"]) if "e" in parts else None
    cpu_s = float(parts.get("c", 0))
    return Sample(statuses, durations, first_events, calls, rows, cpu_s, in_hand, replicas, memory_bytes, last)


def quantile_ms(buckets: Mapping[int, int], share: float, bounds_ms: Sequence[float] = BOUNDS_MS) -> float | None:
    """The duration that a share of the observations do not exceed, in milliseconds; None without observations.

    Within a bucket observations are taken to lie evenly, as Prometheus' ``histogram_quantile`` takes them to.
    """
    rank = share * sum(buckets.values())
    if rank <= 0:
        return None
    for index in sorted(buckets):
        if rank <= buckets[index]:
            if index >= len(bounds_ms):
                break
            lower = bounds_ms[index - 1] if index else 0.0
            return round(lower + (bounds_ms[index] - lower) * rank / buckets[index], 3)
        rank -= buckets[index]
    return float(bounds_ms[-1])


def together(samples: Iterable[Sample]) -> Sample:
    """The same step of several entities: their gauges are added up, too."""
    whole, in_hand, replicas, memory_bytes = Sample(), 0, 0, 0
    for sample in samples:
        whole.add(sample)
        in_hand += sample.in_hand
        replicas += sample.replicas
        memory_bytes += sample.memory_bytes
    whole.in_hand, whole.replicas, whole.memory_bytes = in_hand, replicas, memory_bytes
    return whole


def _add_up(counts: dict[int, int], more: Mapping[int, int]) -> None:
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count
