"""What the controller remembers between ticks: what fetched versions need, work under way, failures."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.controller.backoff import Failure, after_failure
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.recipe import Need


class Memory:
    """Belongs to the loop's thread. Lost with the controller, and built anew from what is there.

    ``doing``: what the build of an environment is at, for a person.
    """

    def __init__(self, backoff_base_s: float, backoff_cap_s: float, doing: Callable[[str], str]) -> None:
        self._doing = doing
        self._backoff_base_s = backoff_base_s
        self._backoff_cap_s = backoff_cap_s
        self._failures: dict[EntityKey, tuple[str, Failure]] = {}
        self.needs: dict[EntityKey, Need] = {}
        self.fetching: set[EntityKey] = set()
        self.building: set[str] = set()
        """Environments, by their keys."""
        self.launching: Counter[EntityKey] = Counter()
        self.stopping: set[str] = set()

    def forget_others(self, desired: Mapping[EntityKey, DesiredEntity]) -> None:
        """Drop what is known of versions that are no longer desired, or not as they were."""
        for key in [key for key in self.needs if key not in desired]:
            del self.needs[key]
        for key, (fingerprint, _) in list(self._failures.items()):
            if key not in desired or desired[key].fingerprint != fingerprint:
                del self._failures[key]

    def failed(
        self, wanted: DesiredEntity, message: str, *, now: float, served_s: float | None, proved: bool = False
    ) -> None:
        """Note a failure; see ``after_failure``."""
        _, before = self._failures.get(wanted.key, (None, None))
        failure = after_failure(
            before,
            now=now,
            message=message,
            served_s=served_s,
            proved=proved,
            base_s=self._backoff_base_s,
            cap_s=self._backoff_cap_s,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
        )
        self._failures[wanted.key] = (wanted.fingerprint, failure)

    def forgive(self, keys: Iterable[EntityKey]) -> None:
        """Forget that these versions have failed: they are due at once."""
        for key in list(keys):
            self._failures.pop(key, None)

    def built(self, key: str, environment: Environment) -> None:
        """An environment is there now, for all versions that need it."""
        for version, need in self.needs.items():
            if need.recipe.key == key:
                self.needs[version] = replace(need, environment=environment)

    def observed(self, workers: Iterable[WorkerStatus]) -> Observed:
        """All of it, for ``plan`` and ``describe``."""
        return Observed(
            workers=tuple(workers),
            needs=dict(self.needs),
            fetching=frozenset(self.fetching),
            building={key: self._doing(key) for key in self.building},
            launching={key: count for key, count in self.launching.items() if count},
            stopping=frozenset(self.stopping),
            failures={key: failure for key, (_, failure) in self._failures.items()},
        )
