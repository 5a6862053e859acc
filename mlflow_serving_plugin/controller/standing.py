"""Where an entity stands: what is observed of it, put together once for ``plan`` and ``status``. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.proofs import Proof
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.environments.recipe import Need


@dataclass(frozen=True, slots=True)
class HeldBack:
    """Launches of an entity that wait for memory. ``launches``: those that may begin; ``message``: for a person."""

    launches: int
    message: str


@dataclass(frozen=True, slots=True)
class Observed:
    """What is there. ``launching``: launches under way, how many by entity.

    ``needs``: what each fetched entity needs; ``building``: the progress of builds under way, by environment;
    ``unread``: entities that sleep, and whose files were not looked at yet; ``stopping``: workers that are being ended.
    """

    workers: tuple[WorkerStatus, ...] = ()
    fetching: frozenset[EntityKey] = frozenset()
    launching: Mapping[EntityKey, int] = field(default_factory=dict)
    needs: Mapping[EntityKey, Need] = field(default_factory=dict)
    unread: frozenset[EntityKey] = frozenset()
    building: Mapping[str, str] = field(default_factory=dict)
    stopping: frozenset[str] = frozenset()
    failures: Mapping[EntityKey, Failure] = field(default_factory=dict)
    proofs: Mapping[EntityKey, Proof] = field(default_factory=dict)
    held_back: Mapping[EntityKey, HeldBack] = field(default_factory=dict)

    def due(self, now: float) -> frozenset[EntityKey]:
        """The entities that have failed and may be tried again."""
        return frozenset(key for key, failure in self.failures.items() if now >= failure.retry_at)

    def proof_of(self, wanted: DesiredEntity) -> Proof | None:
        """The proof of an entity that may sleep; None when no worker has answered of the entity as it is wanted now."""
        return proof_of(wanted, self.proofs)

    def by_key(self) -> dict[EntityKey, list[WorkerStatus]]:
        """The workers of each entity, but those that are being ended."""
        found: dict[EntityKey, list[WorkerStatus]] = {}
        for worker in self.workers:
            if worker.worker_id not in self.stopping:
                found.setdefault(worker.key, []).append(worker)
        return found


def proof_of(wanted: DesiredEntity, proofs: Mapping[EntityKey, Proof]) -> Proof | None:
    """See ``Observed.proof_of``."""
    proof = proofs.get(wanted.key)
    proved = proof is not None and proof.fingerprint == wanted.fingerprint
    return proof if proved and wanted.scaling.min_replicas == 0 else None


@dataclass(frozen=True, slots=True)
class Standing:
    """One entity's standing. None of its workers are being ended."""

    state: EntityState
    message: str
    need: Need | None
    """None until the model files are there."""
    fresh: Sequence[WorkerStatus]
    """Ready workers of the wanted fingerprint, the oldest first."""
    outdated: Sequence[WorkerStatus]
    """Ready workers of another fingerprint."""
    died: Sequence[WorkerStatus]
    """Workers that died after they were ready. The launch of a worker that died earlier clears it away."""
    launching: int
    failure: Failure | None


def standing(wanted: DesiredEntity, replicas: int, workers: Sequence[WorkerStatus], observed: Observed) -> Standing:
    """Where a desired entity stands. ``workers``: those of the entity, as ``Observed.by_key`` gives them."""
    ready = [worker for worker in workers if worker.phase is WorkerPhase.READY]
    fresh = sorted((w for w in ready if w.fingerprint == wanted.fingerprint), key=lambda w: w.started_ms)
    state, message = _state(wanted, replicas, bool(ready), len(fresh), observed)
    return Standing(
        state=state,
        message=message,
        need=observed.needs.get(wanted.key),
        fresh=fresh,
        outdated=[worker for worker in ready if worker.fingerprint != wanted.fingerprint],
        died=[w for w in workers if w.phase is WorkerPhase.DEAD and w.ready_since_ms is not None],
        launching=observed.launching.get(wanted.key, 0),
        failure=observed.failures.get(wanted.key),
    )


def _state(
    wanted: DesiredEntity, replicas: int, ready: bool, fresh: int, observed: Observed
) -> tuple[EntityState, str]:
    key = wanted.key
    failure, held_back = observed.failures.get(key), observed.held_back.get(key)
    if ready:
        if fresh >= replicas or (failure is None and held_back is None):
            return EntityState.READY, ""
        have = f"{fresh} of {replicas} workers" if fresh else "workers of the previous configuration"
        if failure is not None:
            why = f". {failure.message}" if failure.waits else f"; a new worker did not start: {failure.message}"
            return EntityState.READY, f"Serving with {have}{why}"
        return EntityState.READY, f"Serving with {have}. {held_back.message if held_back else ''}"
    if failure is not None and failure.final:
        return EntityState.FAILED, failure.message
    if replicas == 0:
        return EntityState.ASLEEP, "Scaled to zero: the next request wakes the version."
    restarting = f"Restarting: {failure.message}" if failure is not None else ""
    state, message = EntityState.LAUNCHING, restarting or "Loading the model."
    if failure is not None and failure.waits:
        # Also in the moment of a try, or each try would be an event.
        state, message = EntityState.PENDING, failure.message
    elif not observed.launching.get(key):
        state, message = _before_launch(key, observed, restarting)
    # A build takes minutes: `latest` had better be an older version until then.
    wakes = observed.proof_of(wanted) is not None and state is not EntityState.BUILDING
    return (EntityState.WAKING if wakes else state), message


def _before_launch(key: EntityKey, observed: Observed, restarting: str) -> tuple[EntityState, str]:
    need = observed.needs.get(key)
    if need is not None and need.environment is None:
        return EntityState.BUILDING, _building(need, observed)
    if key in observed.fetching:
        return EntityState.PENDING, "Fetching the model files."
    held_back = observed.held_back.get(key)
    return EntityState.PENDING, held_back.message if held_back else restarting or "Queued for a start."


def _building(need: Need, observed: Observed) -> str:
    progress = observed.building.get(need.recipe.key)
    if progress is None:
        return "Queued for an environment build."
    return f"Building the environment ({need.recipe}; {need.recipe.why})" + (f": {progress}" if progress else ".")
