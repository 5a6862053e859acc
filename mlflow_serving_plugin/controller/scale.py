"""The number of workers of each entity: by the load, and none while the entity sleeps. Pure.

The load is what an entity has in hand, requests being scored and requests that wait, over all web workers. A version
gets more workers at once, by the mean of a few seconds (the panic window), so that one short burst starts nothing. It
has fewer only after a minute (the stable window) in which fewer would always have done, and at most half at a time. So
the number goes up and down again at most once in a stable window.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.config import ScalingConfig
from mlflow_serving_plugin.domain.entity import EntityKey

STABLE_S = 60.0
PANIC_S = 6.0
DOWN_EVERY_S = 15.0
"""Time between two steps down: the workers that stay take over before the next worker ends."""

_LONGEST_LOOK_S = 2.0
"""A look counts for the time since the look before, but not for a time in which nobody looked."""

_ROUNDING = 1e-6
"""A mean of a steady load may be above the load by so much."""

_NOTHING = Observed()


@dataclass(frozen=True, slots=True)
class Load:
    """What an entity had in hand lately, and the number of workers that follows. Times by one clock, in seconds."""

    replicas: int
    changed_at: float
    looks: tuple[tuple[float, float, int], ...] = ()
    """The looks in the panic window: when, the seconds that the look stands for, and the requests in hand."""
    wants: tuple[tuple[float, int], ...] = ()
    """Of the looks in the stable window: when, and the number of workers wanted; the highest first."""

    @property
    def over(self) -> bool:
        """Whether nothing of the load is left to be known."""
        return not any(in_hand for _, _, in_hand in self.looks) and self.replicas <= 1


def follow(load: Load, in_hand: int, scaling: ScalingConfig, *, now: float, since_s: float) -> Load:
    """The load after one more look, ``since_s`` after the look before."""

    def for_(requests: float) -> int:
        # The quotient of a target next to nothing is infinite.
        workers = math.ceil(min(requests / scaling.target_requests, scaling.max_replicas) - _ROUNDING)
        return min(scaling.max_replicas, max(fewest_awake(scaling), workers))

    begin = now - PANIC_S
    looks = (*(look for look in load.looks if look[0] > begin), (now, min(since_s, _LONGEST_LOOK_S), in_hand))
    want = for_(sum(found * min(seconds, at - begin) for at, seconds, found in looks) / PANIC_S)
    # A want that a later and higher one outlives never counts again.
    wants = (*(kept for kept in load.wants if kept[0] > now - STABLE_S and kept[1] > want), (now, want))
    highest = wants[0][1]
    replicas = load.replicas
    if highest > replicas:
        return Load(highest, now, looks, wants)
    # Never fewer than what is in hand now needs.
    needed = max(highest, min(replicas, for_(in_hand)))
    if needed < replicas and now - load.changed_at >= DOWN_EVERY_S:
        return Load(max(needed, math.ceil(replicas / 2)), now, looks, wants)
    return Load(replicas, load.changed_at, looks, wants)


def fewest_awake(scaling: ScalingConfig) -> int:
    """The fewest workers of an entity that does not sleep."""
    return max(1, scaling.min_replicas)


def is_fixed(scaling: ScalingConfig) -> bool:
    """Whether the number of workers never changes by itself."""
    return 0 < scaling.min_replicas == scaling.max_replicas


def scale(
    desired: Mapping[EntityKey, DesiredEntity],
    observed: Observed = _NOTHING,
    used_at: Mapping[EntityKey, float] = MappingProxyType({}),
    loads: Mapping[EntityKey, Load] = MappingProxyType({}),
    now: float = 0.0,
) -> dict[EntityKey, int]:
    """The number of workers of each desired entity.

    ``used_at``: when each entity was last used; an entity without a time was not used since the controller began.
    ``now``: when that was looked for, by the same clock.
    """
    ready = {worker.key for worker in observed.workers if worker.ready}
    return {
        key: 0
        if _sleeps(wanted, key in ready, observed, used_at.get(key), now)
        else _awake(wanted.scaling, loads.get(key))
        for key, wanted in desired.items()
    }


def _awake(scaling: ScalingConfig, load: Load | None) -> int:
    fewest = fewest_awake(scaling)
    return fewest if load is None else min(scaling.max_replicas, max(fewest, load.replicas))


def _sleeps(wanted: DesiredEntity, ready: bool, observed: Observed, used_at: float | None, now: float) -> bool:
    """Whether an entity needs no worker now. One that has not proved itself, or that fails, is tried and tried."""
    key = wanted.key
    if observed.proof_of(wanted) is None or (key in observed.failures and not ready):
        return False
    # A worker that got ready between two looks has its idle time before it, which begins with the next look.
    return not ready if used_at is None else now - used_at >= wanted.scaling.idle_timeout_s
