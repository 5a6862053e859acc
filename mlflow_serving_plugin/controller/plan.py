"""Makes the actions due now, from what should run and what runs. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed, Standing, standing
from mlflow_serving_plugin.domain.entity import EntityKey


@dataclass(frozen=True, slots=True)
class Fetch:
    """Fetch an entity's model files."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Build:
    """Build an entity's environment."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Launch:
    """Start one more worker of an entity."""

    key: EntityKey


@dataclass(frozen=True, slots=True)
class Stop:
    """End a worker: the worker is one too many, outdated, dead or no longer wanted."""

    worker_id: str


Action = Fetch | Build | Launch | Stop


def plan(
    desired: Mapping[EntityKey, DesiredEntity],
    replicas: Mapping[EntityKey, int],
    observed: Observed,
    *,
    now: float,
    launch_slots: int,
    fetch_slots: int,
    build_slots: int,
    first: Collection[EntityKey] = (),
) -> list[Action]:
    """The actions due now: stops first. The slots limit the launches, fetches and builds under way in all.

    ``first``: entities for which requests wait, or that were used last; these get the slots before all others.
    """
    by_key = observed.by_key()
    actions: list[Action] = [
        Stop(worker.worker_id) for key, workers in by_key.items() if key not in desired for worker in workers
    ]
    launches_left = launch_slots - sum(observed.launching.values())
    fetches_left = fetch_slots - len(observed.fetching)
    building = set(observed.building)
    # Most of thousands of entities sleep, and nothing is to be done about those.
    awake = [key for key in desired if replicas[key] or key in by_key]
    for key in sorted(awake, key=lambda key: key not in first) if first else awake:
        wanted = desired[key]
        found = standing(wanted, replicas[key], by_key.get(key, []), observed)
        actions += _superfluous(found, replicas[key])
        missing = _missing(found, replicas[key], now)
        if (held_back := observed.held_back.get(key)) is not None:
            missing = min(missing, held_back.launches)
        if missing <= 0:
            continue
        if found.need is None:
            if key not in observed.fetching and fetches_left > 0:
                fetches_left -= 1
                actions.append(Fetch(key))
        elif found.need.environment is None:
            # Entities that need the same environment wait for one build.
            environment = found.need.recipe.key
            if environment not in building and len(building) < build_slots:
                building.add(environment)
                actions.append(Build(key))
        else:
            launches = max(0, min(missing, launches_left))
            launches_left -= launches
            actions += [Launch(key)] * launches
    return actions


def _missing(found: Standing, replicas: int, now: float) -> int:
    """How many workers to start for an entity now."""
    if found.failure is not None and now < found.failure.retry_at:
        return 0
    # A death is counted when the dead worker is cleared away, and only then is the delay known.
    if found.died:
        return 0
    # A worker that is starting counts as launching: ``launch`` returns when the worker is ready.
    return replicas - len(found.fresh) - found.launching


def _superfluous(found: Standing, replicas: int) -> list[Stop]:
    """Dead workers; workers beyond the replicas; and outdated workers, as soon as their successors are ready."""
    keep_outdated = max(0, replicas - len(found.fresh))
    extra = [*found.died, *found.fresh[replicas:], *found.outdated[keep_outdated:]]
    return [Stop(worker.worker_id) for worker in extra]
