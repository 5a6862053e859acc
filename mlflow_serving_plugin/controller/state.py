"""What the controller knows between ticks: what is desired, what fetched entities need, work under way, failures."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace

from mlflow_serving_plugin.backends.base import OVERDUE, WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.backoff import Death, Failure, after_failure
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.proofs import Proof, Proofs
from mlflow_serving_plugin.controller.standing import HeldBack, Observed, proof_of
from mlflow_serving_plugin.controller.tasks import Outcome
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.places import without_server
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.recipe import Need


class ControllerState:
    """Belongs to the loop's thread. Lost with the controller, and built anew from what is there.

    ``doing``: the progress of an environment's build, for a person. ``proofs`` alone outlive the controller.
    """

    def __init__(
        self, backoff_base_s: float, backoff_cap_s: float, doing: Callable[[str], str], proofs: Proofs
    ) -> None:
        self._doing = doing
        self._proofs = proofs
        self._backoff_base_s = backoff_base_s
        self._backoff_cap_s = backoff_cap_s
        self._failures: dict[EntityKey, tuple[str, Failure]] = {}
        self._ready_at: dict[str, float] = {}
        """When each worker got ready, by the clock of ``now``: the wall clock may jump while the worker serves."""
        self.desired: Mapping[EntityKey, DesiredEntity] = {}
        self.needs: dict[EntityKey, Need] = {}
        self.unread: set[EntityKey] = set()
        """Entities that sleep, and whose files were not looked at yet."""
        self.fetching: set[EntityKey] = set()
        self.building: set[str] = set()
        """Environments, by their keys."""
        self.launching: Counter[EntityKey] = Counter()
        self.held_back: Mapping[EntityKey, HeldBack] = {}
        """Launches that wait for memory, the first one first."""
        self.stopping: set[str] = set()
        self._draining_until: dict[str, float] = {}
        """Workers that cannot tell by themselves that they drain, and when they are to be ended."""
        self.noted: set[str] = set()
        """Draining workers whose failure has been noted."""
        self.lost_in_hand: set[str] = set()
        """Workers that were lost with a request in hand, as far as web workers told."""

    @property
    def proofs(self) -> dict[EntityKey, Proof]:
        """The proofs now."""
        return dict(self._proofs.by_key)

    def refreshed(
        self,
        desired: Mapping[EntityKey, DesiredEntity],
        needs: Mapping[EntityKey, Need],
        unread: Iterable[EntityKey] = (),
        asked: Container[str] = (),
    ) -> None:
        """Take in what is desired now; forget the failures of entities that are gone or no longer as they were.

        ``asked``: endpoints, by id, for which somebody asked for a change. What has failed of them is due at once.
        """
        self.desired = desired
        self.needs = {key: need for key, need in needs.items() if key in desired}
        self.unread = set(unread)
        self._proofs.keep(desired)
        for key, (fingerprint, _) in list(self._failures.items()):
            if not self.is_current(key, fingerprint) or key.endpoint_id in asked:
                del self._failures[key]

    def read(
        self, keys: Iterable[EntityKey], desired: Mapping[EntityKey, DesiredEntity], outcome: Outcome, _: float
    ) -> None:
        """Take in what entities need that were unread; ``desired``: as it was when their files were looked at."""
        self.unread -= set(keys)
        for key, need in ({} if outcome.error is not None else outcome.value).items():
            if self.is_current(key, desired[key].fingerprint):
                self.needs.setdefault(key, need)

    def is_current(self, key: EntityKey, fingerprint: str) -> bool:
        """Whether the entity is still desired, and with this fingerprint."""
        wanted = self.desired.get(key)
        return wanted is not None and wanted.fingerprint == fingerprint

    def failed(
        self,
        wanted: DesiredEntity,
        message: str,
        *,
        now: float,
        died: WorkerStatus | None = None,
        waits: bool = False,
    ) -> None:
        """Note a failure; see ``after_failure``. Its reason holds no path of the server, whatever it quotes.

        ``died``: the worker that was ready and died, or hung and is ended; None: a start failed, or ``waits`` for room.
        """
        _, before = self._failures.get(wanted.key, (None, None))
        if before is None and proof_of(wanted, self._proofs.by_key) is not None:
            before = Failure(0, now, "", served=True)
        failure = after_failure(
            before,
            now=now,
            message=without_server(message),
            death=None if died is None else self._death(died, message, now),
            base_s=self._backoff_base_s,
            cap_s=self._backoff_cap_s,
            jitter=random.random(),  # noqa: S311 - spreads retries, guards nothing
            waits=waits,
        )
        retry_ms = int((time.time() + failure.retry_at - now) * 1000)
        self._failures[wanted.key] = (wanted.fingerprint, replace(failure, retry_ms=retry_ms))
        if failure.final:
            self._proofs.drop(wanted.key)

    def forget_failures(self, replicas: Mapping[EntityKey, int]) -> None:
        """Of entities that sleep: they had served well since."""
        for key in [key for key in self._failures if replicas.get(key) == 0]:
            del self._failures[key]

    def built(self, key: str, environment: Environment) -> None:
        """An environment is there now, for all entities that need it."""
        for version, need in self.needs.items():
            if need.recipe.key == key:
                self.needs[version] = replace(need, environment=environment)

    def drain(self, worker_id: str, until: float) -> None:
        """Send a worker no more requests, and have it ended at ``until``, when those that it has are over."""
        self._draining_until.setdefault(worker_id, until)

    def drained(self, worker_id: str, now: float) -> bool:
        """Whether the time of a worker that drains is over."""
        return self._draining_until.get(worker_id, now) < now

    def _death(self, worker: WorkerStatus, message: str, now: float) -> Death:
        served_s = now - self._ready_at.get(worker.worker_id, now)
        return Death(served_s, worker.has_served, message == OVERDUE or worker.worker_id in self.lost_in_hand)

    def observe(self, workers: Iterable[WorkerStatus], now: float) -> Observed:
        """Take in which workers there are; return all that is observed."""
        workers = tuple(self._with_draining(worker) for worker in workers)
        for worker in workers:
            if worker.ready and self.is_current(worker.key, worker.fingerprint):
                self._proofs.add(worker)
        self._proofs.save()
        ids = {worker.worker_id for worker in workers}
        self.noted &= ids
        self.lost_in_hand &= ids
        self._draining_until = {key: until for key, until in self._draining_until.items() if key in ids}
        self._ready_at = {
            worker.worker_id: self._ready_at.get(worker.worker_id, now - _age_s(worker.ready_since_ms))
            for worker in workers
            if worker.ready_since_ms is not None
        }
        return self.observed(workers)

    def _with_draining(self, worker: WorkerStatus) -> WorkerStatus:
        if worker.worker_id not in self._draining_until or worker.phase is not WorkerPhase.READY:
            return worker
        return replace(worker, phase=WorkerPhase.DRAINING, message=OVERDUE)

    def observed(self, workers: Iterable[WorkerStatus]) -> Observed:
        """All that is observed, for ``plan`` and ``describe``."""
        return Observed(
            workers=tuple(workers),
            needs=dict(self.needs),
            unread=frozenset(self.unread),
            fetching=frozenset(self.fetching),
            building={key: self._doing(key) for key in self.building},
            launching={key: count for key, count in self.launching.items() if count},
            stopping=frozenset(self.stopping),
            failures={key: failure for key, (_, failure) in self._failures.items()},
            proofs=self.proofs,
            held_back=self.held_back,
        )


def _age_s(since_ms: int) -> float:
    """Of a worker seen for the first time, adopted perhaps, only the wall clock tells since when it has been ready."""
    return max(0.0, time.time() - since_ms / 1000)
