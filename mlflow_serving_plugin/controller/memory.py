"""Which launches fit into the memory of the host, and which idle versions go to sleep for their sake. Pure.

A launch that does not fit waits until the versions that were idle for longest have gone to sleep, whatever their idle
timeout. Workers that grow past the limit and memory pressure of the machine put idle versions to sleep as well, so that
the kernel's OOM killer is not what decides.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.backends.base import Memory, WorkerPhase
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import HeldBack, Observed
from mlflow_serving_plugin.domain.entity import EntityKey

_IDLE_S = 1.0
"""A version that was used more recently is not put to sleep: what a web worker has counted is 0.2 s old."""

_MAKING_ROOM = "Waiting for memory: idle versions are being put to sleep."
_UNKNOWN_BYTES = 64 * 2**20
"""What a first worker is taken to need: a fork of a zygote with a small model needs half of that."""


@dataclass(frozen=True, slots=True)
class Limits:
    """For all workers of the host; 0: no limit."""

    max_bytes: int = 0
    max_workers: int = 0


@dataclass(frozen=True, slots=True)
class Measured:
    """The memory of the workers when it was last measured.

    ``sizes``: bytes that the last worker of each entity did not share; ``pressure``: whether the machine stalls for
    want of memory.
    """

    memory: Memory = field(default_factory=Memory)
    sizes: Mapping[EntityKey, int] = field(default_factory=dict)
    pressure: bool = False

    def needs(self, key: EntityKey) -> int:
        """What a further worker of an entity will probably take: as its last one, else as others do on average."""
        known = self.sizes
        return known.get(key) or (sum(known.values()) // len(known) if known else _UNKNOWN_BYTES)


@dataclass(frozen=True, slots=True)
class Admission:
    """What follows. ``evicted``: put to sleep now, the longest idle first; ``held_back``: launches that wait.

    ``grown``: the largest worker, when the workers have grown past the limit and no idle version may sleep.
    """

    evicted: tuple[EntityKey, ...] = ()
    held_back: Mapping[EntityKey, HeldBack] = field(default_factory=dict)
    grown: str | None = None


def admit(
    desired: Mapping[EntityKey, DesiredEntity],
    replicas: Mapping[EntityKey, int],
    observed: Observed,
    used_at: Mapping[EntityKey, float],
    *,
    now: float,
    looked_at: float,
    measured: Measured,
    limits: Limits,
) -> Admission:
    """Which launches may begin. ``used_at``: when each entity was last used, as known at ``looked_at``.

    ``observed.held_back``: what waited before, which goes first.
    """
    missing = _missing(desired, replicas, observed, now)
    room = _Room.of(replicas, observed, measured, limits)
    if not (missing or measured.pressure or room.over):
        return Admission()
    room.idle = _idle(desired, replicas, observed, used_at, looked_at)
    held_back = {}
    waited = [key for key in observed.held_back if key in missing]
    for key in [*waited, *(key for key in missing if key not in observed.held_back)]:
        size, begun = measured.needs(key), 0
        while begun < missing[key] and room.fits(size):
            room.take(size)
            begun += 1
        if begun < missing[key]:
            coming = room.make(size)
            held_back[key] = HeldBack(begun, _MAKING_ROOM if coming else room.why_full(size))
            if coming:
                # Or the next one would begin in the room that is made for this one.
                room.take(size)
    within = room.make(0, 0)
    if measured.pressure and not room.freeing:
        room.halve_idle()
    return Admission(tuple(room.evicted), held_back, None if within or room.launching else room.largest)


def _missing(
    desired: Mapping[EntityKey, DesiredEntity], replicas: Mapping[EntityKey, int], observed: Observed, now: float
) -> dict[EntityKey, int]:
    """How many workers of each entity could be launched now."""
    there = Counter(observed.launching)
    for worker in observed.workers:
        wanted = desired.get(worker.key)
        if wanted is not None and worker.ready and worker.fingerprint == wanted.fingerprint:
            there[worker.key] += worker.worker_id not in observed.stopping
    found = {}
    for key, count in replicas.items():
        if count > there[key]:
            need, failure = observed.needs.get(key), observed.failures.get(key)
            if need is not None and need.environment is not None and (failure is None or failure.retry_at <= now):
                found[key] = count - there[key]
    return found


def _idle(
    desired: Mapping[EntityKey, DesiredEntity],
    replicas: Mapping[EntityKey, int],
    observed: Observed,
    used_at: Mapping[EntityKey, float],
    looked_at: float,
) -> list[EntityKey]:
    """The versions that may be put to sleep: the longest idle last."""
    ready = {worker.key for worker in observed.workers if worker.ready and worker.worker_id not in observed.stopping}
    found = [
        key
        for key in ready & used_at.keys() & desired.keys()
        if replicas[key]
        and looked_at - used_at[key] >= _IDLE_S
        and not observed.launching.get(key)
        and observed.proof_of(desired[key]) is not None
    ]
    return sorted(found, key=lambda key: (-used_at[key], str(key)))


@dataclass(slots=True)
class _Room:
    """What the workers hold. ``freeing``: of that, what is being given back; ``of_entity``: bytes and workers."""

    limits: Limits
    bytes: int
    workers: int
    launching: int
    of_entity: dict[EntityKey, tuple[int, int]]
    largest: str | None
    freeing: int = 0
    """Workers."""
    freeing_bytes: int = 0
    idle: list[EntityKey] = field(default_factory=list)
    """The versions that may be put to sleep, the longest idle last."""
    evicted: list[EntityKey] = field(default_factory=list)

    @classmethod
    def of(cls, replicas: Mapping[EntityKey, int], observed: Observed, measured: Measured, limits: Limits) -> _Room:
        memory, starting = measured.memory, Counter[EntityKey]()
        own: dict[EntityKey, tuple[int, int]] = {}
        total, freeing, freeing_bytes, largest = memory.kept_ready, 0, 0, (0, "")
        for worker in observed.workers:
            needs, taken = measured.needs(worker.key), memory.workers.get(worker.worker_id)
            size, frees = (taken.total, taken.own) if taken is not None else (needs, needs)
            if worker.phase is WorkerPhase.STARTING:
                starting[worker.key] += 1
                size = max(size, needs)
            total += size
            largest = max(largest, (size, worker.worker_id))
            if worker.worker_id in observed.stopping or not replicas.get(worker.key):
                freeing, freeing_bytes = freeing + 1, freeing_bytes + frees
            else:
                size, count = own.get(worker.key, (0, 0))
                own[worker.key] = size + frees, count + 1
        # The pages that workers which have ended since had shared are now the others'.
        there = {worker.worker_id for worker in observed.workers}
        total += sum(taken.total - taken.own for name, taken in memory.workers.items() if name not in there)
        to_come = {key: count - starting[key] for key, count in observed.launching.items() if count > starting[key]}
        total += sum(measured.needs(key) * count for key, count in to_come.items())
        launching = sum(observed.launching.values())
        workers = len(observed.workers) + sum(to_come.values())
        return cls(limits, total, workers, launching, own, largest[1] or None, freeing, freeing_bytes)

    @property
    def over(self) -> bool:
        """Whether the workers hold more than they may."""
        return not self._within(self.bytes, self.workers)

    def fits(self, size: int) -> bool:
        """Whether one more worker fits now. The only worker always does: its size is an estimate."""
        return not self.workers or self._within(self.bytes + size, self.workers + 1)

    def make(self, size: int, workers: int = 1) -> bool:
        """Put versions to sleep until so much more fits; whether it does, once their workers have ended."""
        while not (fits := self._will_fit(size, workers)) and self.idle:
            self._evict()
        return fits

    def halve_idle(self) -> None:
        """Put the half that was idle for longest to sleep."""
        for _ in range(-(-len(self.idle) // 2)):
            self._evict()

    def take(self, size: int) -> None:
        """One more worker."""
        self.bytes += size
        self.workers += 1

    def _evict(self) -> None:
        self.evicted.append(key := self.idle.pop())
        size, count = self.of_entity.pop(key)
        self.freeing_bytes += size
        self.freeing += count

    def _will_fit(self, size: int, workers: int) -> bool:
        left = self.workers - self.freeing
        return not left or self._within(self.bytes - self.freeing_bytes + size, left + workers)

    def _within(self, size: int, workers: int) -> bool:
        limits = self.limits
        return size <= (limits.max_bytes or size) and workers <= (limits.max_workers or workers)

    def why_full(self, size: int) -> str:
        """Why a launch waits, for a person. Without names of other models, which a reader may not know of."""
        limits, taken = self.limits, in_words(self.bytes)
        holders = f"{_counted(self.workers, 'worker')} of {_counted(len(self.of_entity), 'version')}"
        if limits.max_workers and self.workers - self.freeing >= limits.max_workers:
            return (
                f"Waiting for a place: this host has {holders}, MLFLOW_SERVING_MAX_WORKERS is {limits.max_workers}, "
                "and none of these versions is idle and may sleep."
            )
        return (
            f"Waiting for memory: {taken} are taken by {holders}, the limit is {in_words(limits.max_bytes)} "
            f"(MLFLOW_SERVING_MAX_MEMORY_BYTES), one more worker needs about {in_words(size)}, and none of these "
            "versions is idle and may sleep."
        )


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def in_words(size: int) -> str:
    """A size in bytes, for a person: rounded, so that a message does not change all the time."""
    small = round(size / 1e7) * 10 if size >= 1e7 else math.ceil(size / 1e6)
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{small} MB"
