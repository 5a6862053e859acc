"""The number of workers of each entity. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.entity import EntityKey

NOTHING = Observed()


def scale(
    desired: Mapping[EntityKey, DesiredEntity],
    observed: Observed = NOTHING,
    used_at: Mapping[EntityKey, float] = MappingProxyType({}),
    now: float = 0.0,
) -> dict[EntityKey, int]:
    """The number of workers of each desired entity: what its configuration says, or 0 while the entity sleeps.

    ``used_at``: when each entity was last used; an entity without a time was not used since the controller began.
    ``now``: when that was looked for, by the same clock.
    """
    ready = {worker.key for worker in observed.workers if worker.ready}
    return {
        key: 0 if _sleeps(wanted, key in ready, observed, used_at.get(key), now) else wanted.scaling.replicas
        for key, wanted in desired.items()
    }


def _sleeps(wanted: DesiredEntity, ready: bool, observed: Observed, used_at: float | None, now: float) -> bool:
    """Whether an entity needs no worker now. One that has not proved itself, or that fails, is tried and tried."""
    key = wanted.key
    if observed.proof_of(wanted) is None or (key in observed.failures and not ready):
        return False
    return used_at is None or now - used_at >= wanted.scaling.idle_timeout_s
