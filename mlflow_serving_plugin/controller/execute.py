"""Carries out what ``plan`` decided: each action as a task off the loop, its outcome into the memory."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.files import model_directory, sweep
from mlflow_serving_plugin.controller.memory import Memory
from mlflow_serving_plugin.controller.plan import Action, Build, Fetch, Stop
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.tasks import Job, Outcome, Tasks
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.recipe import Need
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.metrics.controller import ControllerMetrics
from mlflow_serving_plugin.registry.artifacts import fetch_model

_logger = logging.getLogger(__name__)

_SWEEP = Job("sweep")
_REST = Job("rest")

Desired = Mapping[EntityKey, DesiredEntity]


class Executor:
    """Belongs to the loop's thread, as the memory does; only the tasks' own work runs elsewhere."""

    def __init__(self, deps: ControllerDeps, tasks: Tasks, memory: Memory, metrics: ControllerMetrics) -> None:
        self._deps = deps
        self._tasks = tasks
        self._memory = memory
        self._metrics = metrics
        self.sweep_due = True
        """Whether there may be files that belong to nobody any more."""
        self._resting = False

    @property
    def clearing_up(self) -> bool:
        """Whether files are being removed, or what is kept ready let go of."""
        return self._tasks.running(_SWEEP) or self._tasks.running(_REST)

    def execute(self, action: Action, desired: Desired, workers: Mapping[str, WorkerStatus], now: float) -> None:
        """Begin an action."""
        if isinstance(action, Stop):
            worker = workers[action.worker_id]
            self.stop(worker, desired, now, failure=worker.message if worker.phase is WorkerPhase.DEAD else None)
            return
        wanted = desired[action.key]
        if isinstance(action, Fetch):
            self._memory.fetching.add(action.key)
            self._tasks.start(Job("fetch", action.key, wanted.fingerprint), partial(self._prepare, wanted))
        elif isinstance(action, Build):
            recipe = self._memory.needs[action.key].recipe
            self._memory.building.add(recipe.key)
            self._metrics.build_began(recipe.key)
            self._tasks.start(Job("build", environment=recipe.key), partial(self._deps.environments.build, recipe))
        else:
            self._memory.launching[action.key] += 1
            self._tasks.start(Job("launch", action.key, wanted.fingerprint), partial(self._launch, wanted))

    def stop(
        self, worker: WorkerStatus, desired: Desired, now: float, *, failure: str | None, at_once: bool = False
    ) -> None:
        """Have a worker ended; with ``failure``, count that against its version. ``at_once``: it hangs."""
        if worker.worker_id in self._memory.stopping:
            return
        wanted = desired.get(worker.key)
        if failure is not None:
            self._metrics.worker_lost(worker.key)
        if failure is not None and wanted is not None and wanted.fingerprint == worker.fingerprint:
            served_s = time.time() - (worker.ready_since_ms or worker.started_ms) / 1000
            self._memory.failed(wanted, failure, now=now, served_s=served_s, proved=worker.has_served)
        self._memory.stopping.add(worker.worker_id)
        work = partial(self._deps.backend.stop, worker.worker_id, at_once=at_once)
        self._tasks.start(Job("stop", worker_id=worker.worker_id), work)

    def sweep_if_due(self, desired: Desired, observed: Observed) -> None:
        """Begin to remove what belongs to nobody any more, unless somebody may just be making some of it."""
        busy = observed.fetching or observed.building or observed.launching
        if not self.sweep_due or self._tasks.running(_SWEEP) or busy:
            return
        self.sweep_due = False
        paths = self._deps.paths
        keys = {*desired, *(worker.key for worker in observed.workers)}
        models = {model_directory(paths, wanted) for wanted in desired.values()}
        needs = list(observed.needs.values())
        in_use = {need.recipe.key for need in needs}
        environments = {need.environment for need in needs if need.environment is not None}

        def clear_up() -> None:
            sweep(paths, models, keys)
            self._deps.backend.retain(environments)
            for removed in self._deps.environments.evict(in_use):
                _logger.info("Removed an environment that nothing uses: %s.", removed)

        self._tasks.start(_SWEEP, clear_up)

    def rest_if_idle(self, desired: Desired, observed: Observed) -> None:
        """Have the backend let go of what it keeps ready, once, when there is nothing to serve any more."""
        idle = not (desired or observed.workers or observed.launching)
        if idle and not self._resting and not self._tasks.running(_REST):
            self._tasks.start(_REST, partial(self._deps.backend.retain, ()))
        self._resting = idle

    def settle(self, outcome: Outcome, desired: Desired, now: float) -> None:
        """Take in how an action, or a sweep, ended."""
        job = outcome.job
        if job.kind in {"fetch", "launch"} and job.key is not None:
            self._settle_start(outcome, desired.get(job.key), now)
            return
        if job.kind == "build":
            self._settle_build(outcome, desired, now)
            return
        if job.kind == "stop":
            self._memory.stopping.discard(job.worker_id)
            self.sweep_due = True
        if outcome.error is not None:
            _logger.error("%s %s failed: %s", job.kind, job.worker_id, reason_of(outcome.error))

    def _settle_start(self, outcome: Outcome, wanted: DesiredEntity | None, now: float) -> None:
        job = outcome.job
        assert job.key is not None  # noqa: S101 - for the type checker
        if job.kind == "fetch":
            self._memory.fetching.discard(job.key)
        else:
            self._memory.launching[job.key] -= 1
        if wanted is None or wanted.fingerprint != job.fingerprint:
            return  # what it was for is gone
        if outcome.error is not None:
            if job.kind == "launch":
                self._metrics.start_failed(job.key)
            self._memory.failed(wanted, reason_of(outcome.error), now=now, served_s=None)
        elif job.kind == "fetch":
            self._memory.needs[job.key] = outcome.value

    def _settle_build(self, outcome: Outcome, desired: Desired, now: float) -> None:
        key = outcome.job.environment
        self._memory.building.discard(key)
        self._metrics.build_ended(key, well=outcome.error is None)
        if outcome.error is None:
            self._memory.built(key, outcome.value)
            # Now there may be more of them than the limit allows.
            self.sweep_due = True
            return
        for version in [version for version, need in self._memory.needs.items() if need.recipe.key == key]:
            if version in desired:
                self._memory.failed(desired[version], reason_of(outcome.error), now=now, served_s=None)

    def _prepare(self, wanted: DesiredEntity) -> Need:
        return self._deps.environments.need(self._fetch(wanted), wanted.settings.env_manager)

    def _fetch(self, wanted: DesiredEntity) -> Path:
        model, source = wanted.entity.model, wanted.entity.source
        directory = model_directory(self._deps.paths, wanted)
        return fetch_model(source, directory, partial(self._deps.download, model.workspace, model.name, model.version))

    def _launch(self, wanted: DesiredEntity) -> None:
        # They are there, unless somebody has cleaned up since they were last looked at.
        files = self._fetch(wanted)
        need = self._deps.environments.need(files, wanted.settings.env_manager)
        environment = need.environment or self._deps.environments.build(need.recipe)
        self._deps.backend.launch(
            WorkerSpec(
                key=wanted.key,
                fingerprint=wanted.fingerprint,
                model_dir=files,
                log=self._deps.paths.entity_log(wanted.key.endpoint_id, wanted.key.name),
                settings=wanted.settings,
                example=self._deps.example(files),
                environment=environment,
                source=wanted.entity.source,
                recipe=need.recipe,
            )
        )


def reason_of(error: Exception) -> str:
    """An error in one sentence."""
    return error.message if isinstance(error, ServingError) else f"{type(error).__name__}: {error}"
