"""When each entity was last used: by requests, by somebody who warms it up, by its own start."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.metrics.usage import UsageReader

_LOOK_EVERY_S = 0.5


class Usage:
    """Belongs to the loop's thread. Times in seconds, by the clock of ``now``."""

    def __init__(self, directory: Path) -> None:
        self._reader = UsageReader(directory)
        self.looked_at = float("-inf")
        """When the used entities were last looked for: until the next look nothing counts as idle for longer."""
        self.used_at: dict[EntityKey, float] = {}

    def wake(self, key: EntityKey, now: float) -> None:
        """Somebody needs an entity."""
        self.used_at[key] = now

    def look(self, desired: Iterable[DesiredEntity], observed: Observed, now: float) -> None:
        """Take in what was used since the last look. Nothing is read while no entity may sleep."""
        if now < self.looked_at + _LOOK_EVERY_S or all(wanted.scaling.min_replicas > 0 for wanted in desired):
            return
        self.looked_at = now
        in_hand, used = self._reader.look()
        for endpoint_id, name in {*in_hand, *used}:
            self.used_at[EntityKey(endpoint_id, name)] = now
        # A worker that has just started, or was adopted, has its whole idle time before it.
        for key in observed.launching:
            self.used_at[key] = now
        for worker in observed.workers:
            self.used_at.setdefault(worker.key, now)
