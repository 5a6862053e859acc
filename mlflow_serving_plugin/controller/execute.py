"""Carries out what ``plan`` decided: each action is a task off the loop with a continuation on the loop."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from mlflow_serving_plugin.backends.base import NoRoomError, OutOfSightError, WorkerPhase, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.files import cache_directory, model_directory, sweep
from mlflow_serving_plugin.controller.plan import Action, Build, Fetch, Stop
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.state import ControllerState
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks, log_failure
from mlflow_serving_plugin.controller.tracking import Tracking
from mlflow_serving_plugin.environments.recipe import Need
from mlflow_serving_plugin.metrics.controller import ControllerMetrics
from mlflow_serving_plugin.registry.artifacts import fetch_model, fetched_model

_logger = logging.getLogger(__name__)

_SWEEP, _REST = "sweep", "rest"


class Executor:
    """Belongs to the loop's thread, as the state does; only the tasks' own work runs elsewhere."""

    def __init__(
        self,
        deps: ControllerDeps,
        tasks: Tasks,
        state: ControllerState,
        metrics: ControllerMetrics,
        tracking: Tracking,
    ) -> None:
        self._deps = deps
        self._tracking = tracking
        self._tasks = tasks
        self._state = state
        self._metrics = metrics
        self.sweep_due = True
        """Whether there may be files that belong to no entity any more."""
        self._resting = False

    @property
    def clearing_up(self) -> bool:
        """Whether files are being removed, or what the backend keeps ready is being released."""
        return self._tasks.running(_SWEEP, _REST)

    def execute(self, action: Action, workers: Mapping[str, WorkerStatus], now: float) -> None:
        """Begin an action."""
        if isinstance(action, Stop):
            worker = workers[action.worker_id]
            self.stop(worker, now, failure=worker.message if worker.phase is WorkerPhase.DEAD else None)
        elif isinstance(action, Fetch):
            self._fetch(self._state.desired[action.key])
        elif isinstance(action, Build):
            self._build(self._state.needs[action.key])
        else:
            self._launch(self._state.desired[action.key], self._state.needs[action.key])

    def stop(self, worker: WorkerStatus, now: float, *, failure: str | None, at_once: bool = False) -> None:
        """Have a worker ended; with ``failure``, count the failure against its entity. ``at_once``: it hangs."""
        state = self._state
        if worker.worker_id in state.stopping:
            return
        if failure is not None and worker.worker_id not in state.noted:
            self._note_failure(worker, failure, now)
        state.stopping.add(worker.worker_id)

        def stopped(outcome: Outcome, now: float) -> None:
            state.stopping.discard(worker.worker_id)
            self.sweep_due = True
            log_failure(outcome, now)

        def end() -> None:
            self._deps.backend.stop(worker.worker_id, at_once=at_once)
            self._tracking.release(worker.token_id)

        self._tasks.start("stop", end, stopped)

    def see_to_draining(self, observed: Observed, now: float) -> None:
        """Note the failures of workers that drain, so that they are replaced; end those whose time is over."""
        for worker in observed.workers:
            if worker.phase is not WorkerPhase.DRAINING or worker.worker_id in self._state.stopping:
                continue
            if worker.worker_id not in self._state.noted:
                self._state.noted.add(worker.worker_id)
                self._note_failure(worker, worker.message, now)
            if self._state.drained(worker.worker_id, now):
                self.stop(worker, now, failure=None, at_once=True)

    def _note_failure(self, worker: WorkerStatus, failure: str, now: float) -> None:
        state = self._state
        self._metrics.worker_lost(worker.key)
        if state.is_current(worker.key, worker.fingerprint):
            state.failed(state.desired[worker.key], failure, now=now, died=worker)

    def _fetch(self, wanted: DesiredEntity) -> None:
        def fetched(outcome: Outcome, now: float) -> None:
            self._state.fetching.discard(wanted.key)
            self._state.unread.discard(wanted.key)
            if not self._state.is_current(wanted.key, wanted.fingerprint):
                return
            if outcome.error is not None:
                self._state.failed(wanted, outcome.reason, now=now)
            else:
                self._state.needs[wanted.key] = outcome.value

        self._state.fetching.add(wanted.key)
        self._tasks.start("fetch", partial(self._prepare, wanted), fetched)

    def _build(self, need: Need) -> None:
        key = need.recipe.key

        def built(outcome: Outcome, now: float) -> None:
            self._state.building.discard(key)
            self._metrics.build_ended(key, well=outcome.error is None)
            if outcome.error is None:
                self._state.built(key, outcome.value)
                # Now there may be more environments than the limit allows.
                self.sweep_due = True
                return
            for entity in [entity for entity, need in self._state.needs.items() if need.recipe.key == key]:
                self._state.failed(self._state.desired[entity], outcome.reason, now=now)

        self._state.building.add(key)
        self._metrics.build_began(key)
        self._tasks.start("build", partial(self._deps.environments.build, need.recipe), built)

    def _launch(self, wanted: DesiredEntity, need: Need) -> None:
        def launched(outcome: Outcome, now: float) -> None:
            self._state.launching[wanted.key] -= 1
            if outcome.error is not None and self._state.is_current(wanted.key, wanted.fingerprint):
                waits = isinstance(outcome.error, NoRoomError)
                if not waits:
                    self._metrics.start_failed(wanted.key)
                self._state.failed(wanted, outcome.reason, now=now, waits=waits)
            elif outcome.value is not None and self._state.is_current(wanted.key, wanted.fingerprint):
                self._state.needs[wanted.key] = outcome.value

        self._state.launching[wanted.key] += 1
        self._tasks.start("launch", partial(self._start_worker, wanted, need), launched)

    def sweep_if_due(self, observed: Observed) -> None:
        """Begin to remove files that belong to no entity any more, unless a task may just be writing some."""
        busy = observed.fetching or observed.building or observed.launching or observed.unread
        if not self.sweep_due or self._tasks.running(_SWEEP) or busy:
            return
        self.sweep_due = False
        paths, desired = self._deps.paths, self._state.desired
        keys = {*desired, *(worker.key for worker in observed.workers)}
        models = {model_directory(paths, wanted) for wanted in desired.values()}
        caches = {cache for wanted in desired.values() if (cache := cache_directory(paths, wanted)) is not None}
        needs = list(observed.needs.values())
        in_use = {need.recipe.key for need in needs}
        environments = {need.environment for need in needs if need.environment is not None}

        def clear_up() -> None:
            sweep(paths, models, keys, caches)
            self._deps.backend.retain(environments)
            for removed in self._deps.environments.evict(in_use):
                _logger.info("Removed an environment that nothing uses: %s.", removed)

        self._tasks.start(_SWEEP, clear_up)

    def rest_if_idle(self, observed: Observed) -> None:
        """Have the backend let go of what it keeps ready, once, when there is nothing to serve any more."""
        idle = not (self._state.desired or observed.workers or observed.launching)
        if idle and not self._resting and not self._tasks.running(_REST):
            self._tasks.start(_REST, partial(self._deps.backend.retain, ()))
        self._resting = idle

    def _prepare(self, wanted: DesiredEntity) -> Need:
        """Fetch an entity's files, if need be, and read from them what the entity needs."""
        model, source = wanted.entity.model, wanted.entity.source
        download = partial(self._deps.download, model.workspace, model.name, model.version)
        files = fetch_model(source, model_directory(self._deps.paths, wanted), download)
        return self._deps.environments.need(files, wanted.settings.env_manager)

    def _start_worker(self, wanted: DesiredEntity, need: Need) -> Need | None:
        """Start a worker. What the entity needs now, when its environment has to be built before."""
        # Files and environment may have been removed from outside since the need was read.
        if fetched_model(model_directory(self._deps.paths, wanted), wanted.entity.source) is None:
            need = self._prepare(wanted)
        environment = self._deps.environments.find(need.recipe)
        if environment is None:
            return replace(need, environment=None)
        files = need.recipe.model_dir
        variables, token_id = self._tracking.equip(wanted)
        spec = WorkerSpec(
            key=wanted.key,
            fingerprint=wanted.fingerprint,
            model_dir=files,
            log=self._deps.paths.entity_log(wanted.key.endpoint_id, wanted.key.name),
            settings=wanted.settings,
            example=self._deps.example(files),
            environment=environment,
            source=wanted.entity.source,
            recipe=need.recipe,
            replicas=wanted.scaling.max_replicas,
            cache=cache_directory(self._deps.paths, wanted),
            tracking=variables,
            token_id=token_id,
        )
        try:
            self._deps.backend.launch(spec)
        except OutOfSightError:
            # Left to be put off, should the worker be seen later, or else to expire.
            raise
        except BaseException:
            self._tracking.release(token_id)
            raise
        return None
