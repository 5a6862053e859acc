"""From what should run and what does, to what is to be done now. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.need import Need


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch a version's model files."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Build:
    """Build a version's environment."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one more worker for a version."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Stop:
    """End a worker: it is one too many, outdated, dead or no longer wanted."""

    worker_id: str


Action = Fetch | Build | Launch | Stop


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. ``launching``: launches under way, how many by version.

    ``needs``: what each fetched version needs; ``building``: what the builds under way are doing, by environment.
    """

    workers: tuple[WorkerStatus, ...] = ()
    fetching: frozenset[EntityKey] = frozenset()
    launching: Mapping[EntityKey, int] = field(default_factory=dict)
    needs: Mapping[EntityKey, Need] = field(default_factory=dict)
    building: Mapping[str, str] = field(default_factory=dict)
    stopping: frozenset[str] = frozenset()
    failures: Mapping[EntityKey, Failure] = field(default_factory=dict)


def plan(
    desired: Mapping[EntityKey, DesiredEntity],
    observed: Observed,
    *,
    now: float,
    launch_slots: int,
    fetch_slots: int,
    build_slots: int,
) -> list[Action]:
    """The actions due now. At most so many launches, fetches and builds under way in all."""
    by_key = _by_key(observed)
    actions: list[Action] = [
        Stop(worker.worker_id) for key, workers in by_key.items() if key not in desired for worker in workers
    ]
    launches_left = launch_slots - sum(observed.launching.values())
    fetches_left = fetch_slots - len(observed.fetching)
    building = set(observed.building)
    for key, wanted in desired.items():
        workers = by_key.get(key, [])
        actions += _superfluous(wanted, workers)
        missing = _missing(wanted, workers, observed, now)
        if missing > 0 and key not in observed.needs:
            if key not in observed.fetching and fetches_left > 0:
                fetches_left -= 1
                actions.append(Fetch(key))
            continue
        if missing > 0 and observed.needs[key].environment is None:
            # Versions that need the same environment wait for one build.
            environment = observed.needs[key].recipe.key
            if environment not in building and len(building) < build_slots:
                building.add(environment)
                actions.append(Build(key))
            continue
        for _ in range(max(0, min(missing, launches_left))):
            launches_left -= 1
            actions.append(Launch(key))
    return actions


def _by_key(observed: Observed) -> dict[EntityKey, list[WorkerStatus]]:
    by_key: dict[EntityKey, list[WorkerStatus]] = {}
    for worker in observed.workers:
        if worker.worker_id not in observed.stopping:
            by_key.setdefault(worker.key, []).append(worker)
    return by_key


def _missing(wanted: DesiredEntity, workers: list[WorkerStatus], observed: Observed, now: float) -> int:
    """How many workers to start for a version now."""
    failure = observed.failures.get(wanted.key)
    if failure is not None and now < failure.retry_at:
        return 0
    # A death is counted when it is cleared away, and only that says how long to wait.
    if any(_died_serving(worker) for worker in workers):
        return 0
    # A worker that is starting counts as launching: ``launch`` returns when it is ready.
    ready = sum(w.phase is WorkerPhase.READY and w.fingerprint == wanted.fingerprint for w in workers)
    return wanted.replicas - ready - observed.launching.get(wanted.key, 0)


def _superfluous(wanted: DesiredEntity, workers: Iterable[WorkerStatus]) -> list[Stop]:
    """Dead workers; those of more than the replicas; and outdated ones, as soon as their successors are ready."""
    workers = list(workers)
    dead = [w for w in workers if _died_serving(w)]
    ready = [w for w in workers if w.phase is WorkerPhase.READY]
    fresh = sorted((w for w in ready if w.fingerprint == wanted.fingerprint), key=lambda w: w.started_ms)
    outdated = [w for w in ready if w.fingerprint != wanted.fingerprint]
    extra = fresh[wanted.replicas :]
    keep_outdated = max(0, wanted.replicas - len(fresh))
    return [Stop(w.worker_id) for w in [*dead, *extra, *outdated[keep_outdated:]]]


def _died_serving(worker: WorkerStatus) -> bool:
    """One that died before it was ready is its launch's to clear away."""
    return worker.phase is WorkerPhase.DEAD and worker.ready_since_ms is not None
