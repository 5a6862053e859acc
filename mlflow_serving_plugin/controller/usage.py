"""When each entity was last used, and what each entity has in hand: by requests, by a wake, by its own start."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from pathlib import Path

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.scale import Load, fewest_awake, follow, is_fixed
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import LAST_REQUEST
from mlflow_serving_plugin.metrics.usage import UsageReader

_LOOK_EVERY_S = 0.5
_LOOK_EVERY_S_WHEN_FIXED = 5.0
"""While the number of all workers is fixed, only people want to know when a version was last used."""


class Usage:
    """Belongs to the loop's thread. Times in seconds, by the clock of ``now``."""

    def __init__(self, directory: Path, metrics: Metrics) -> None:
        self._reader = UsageReader(directory)
        self.looked_at = float("-inf")
        """When the used entities were last looked for: until the next look nothing counts as idle for longer."""
        self.used_at: dict[EntityKey, float] = {}
        self.loads: dict[EntityKey, Load] = {}
        self._metrics = metrics
        self._last_request: dict[Hashable, float] = {}
        """By the wall clock, for people."""
        metrics.gauge(LAST_REQUEST, lambda: self._last_request)

    def wake(self, key: EntityKey, now: float) -> None:
        """Somebody needs an entity."""
        self.used_at[key] = now

    def put_to_sleep(self, keys: Iterable[EntityKey]) -> None:
        """Take entities for idle, until somebody needs them."""
        self.used_at |= dict.fromkeys(keys, -math.inf)

    def look(self, desired: Mapping[EntityKey, DesiredEntity], observed: Observed, now: float) -> None:
        """Take in what was used since the last look."""
        if now < self.looked_at + _LOOK_EVERY_S:
            return
        fixed = all(is_fixed(wanted.scaling) for wanted in desired.values())
        if fixed and now < self.looked_at + _LOOK_EVERY_S_WHEN_FIXED:
            return
        since_s, self.looked_at = now - self.looked_at, now
        counted, used = self._reader.look()
        in_hand = Counter({EntityKey(*key): count for key, count in counted.items()})
        for key in {*in_hand, *(EntityKey(*key) for key in used)}:
            self.used_at[key] = now
        self._note_requests({*counted, *used}, desired)
        # A worker that has just started, or was adopted, has its whole idle time before it.
        for key in [*observed.launching, *self._wait_for_builds(desired, observed, now - since_s)]:
            self.used_at[key] = now
        ready = Counter(worker.key for worker in observed.workers if worker.ready)
        for key in ready:
            self.used_at.setdefault(key, now)
        self.used_at = {key: at for key, at in self.used_at.items() if key in desired}
        self._follow(desired, in_hand, ready, now, since_s)

    def _wait_for_builds(
        self, desired: Mapping[EntityKey, DesiredEntity], observed: Observed, looked_at: float
    ) -> Iterator[EntityKey]:
        """The entities that were needed at the last look, and whose environment is built or will be, however long."""
        for key, need in observed.needs.items():
            if need.environment is not None:
                continue
            builds = need.recipe.key in observed.building or key not in observed.failures
            if builds and (wanted := desired.get(key)) is not None:
                idle_s = looked_at - self.used_at.get(key, -math.inf)
                if idle_s < wanted.scaling.idle_timeout_s:
                    yield key

    def _note_requests(self, keys: Collection[tuple[str, str]], desired: Mapping[EntityKey, DesiredEntity]) -> None:
        noted = self._last_request | dict.fromkeys(keys, time.time())
        if keys or len(noted) > len(desired):
            # Replaced at once: another thread writes the gauges.
            self._last_request = {
                (key.endpoint_id, key.name): at for key in desired if (at := noted.get((key.endpoint_id, key.name)))
            }
            self._metrics.touch()

    def _follow(
        self,
        desired: Mapping[EntityKey, DesiredEntity],
        in_hand: Mapping[EntityKey, int],
        ready: Mapping[EntityKey, int],
        now: float,
        since_s: float,
    ) -> None:
        loads = {}
        for key in {*self.loads, *in_hand, *ready} & desired.keys():
            scaling = desired[key].scaling
            if scaling.max_replicas <= fewest_awake(scaling):
                continue
            # The workers that an earlier controller has started may be needed: that shows in a stable window.
            adopted = ready.get(key, 1) if math.isinf(since_s) else 1
            load = self.loads.get(key) or Load(adopted, now, wants=((now, adopted),))
            load = follow(load, in_hand.get(key, 0), scaling, now=now, since_s=since_s)
            if not load.over:
                loads[key] = load
        self.loads = loads
