"""What the controller remembers between ticks: files fetched, work under way, failures."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.controller.backoff import Failure, after_failure
from mlflow_serving_plugin.controller.desired import DesiredVersion
from mlflow_serving_plugin.controller.plan import Observed
from mlflow_serving_plugin.domain.endpoint import VersionKey


class Memory:
    """Belongs to the loop's thread. Lost with the controller, and built anew from what is there."""

    def __init__(self, backoff_base_s: float, backoff_cap_s: float) -> None:
        self._backoff_base_s = backoff_base_s
        self._backoff_cap_s = backoff_cap_s
        self._failures: dict[VersionKey, tuple[str, Failure]] = {}
        self.files: dict[VersionKey, Path] = {}
        self.fetching: set[VersionKey] = set()
        self.launching: Counter[VersionKey] = Counter()
        self.stopping: set[str] = set()

    def forget_others(self, desired: Mapping[VersionKey, DesiredVersion]) -> None:
        """Drop what is known of versions that are no longer desired, or not as they were."""
        for key in [key for key in self.files if key not in desired]:
            del self.files[key]
        for key, (fingerprint, _) in list(self._failures.items()):
            if key not in desired or desired[key].fingerprint != fingerprint:
                del self._failures[key]

    def failed(self, wanted: DesiredVersion, message: str, *, now: float, served_s: float | None) -> None:
        """Note a failure; see ``after_failure``."""
        _, before = self._failures.get(wanted.key, (None, None))
        failure = after_failure(
            before,
            now=now,
            message=message,
            served_s=served_s,
            base_s=self._backoff_base_s,
            cap_s=self._backoff_cap_s,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
        )
        self._failures[wanted.key] = (wanted.fingerprint, failure)

    def observed(self, workers: Iterable[WorkerStatus]) -> Observed:
        """All of it, for ``plan`` and ``describe``."""
        return Observed(
            workers=tuple(workers),
            files=dict(self.files),
            fetching=frozenset(self.fetching),
            launching={key: count for key, count in self.launching.items() if count},
            stopping=frozenset(self.stopping),
            failures={key: failure for key, (_, failure) in self._failures.items()},
        )
