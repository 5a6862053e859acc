"""The controller: each tick compares what should run with what does, and acts. Nothing slow happens in a tick."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from mlflow_serving_plugin.backends.base import OVERDUE, WorkerPhase
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.describing import Describer
from mlflow_serving_plugin.controller.desired import View
from mlflow_serving_plugin.controller.execute import Executor
from mlflow_serving_plugin.controller.files import clear_scratch
from mlflow_serving_plugin.controller.journal import Journal
from mlflow_serving_plugin.controller.memory_watch import MemoryWatch
from mlflow_serving_plugin.controller.plan import plan
from mlflow_serving_plugin.controller.proofs import Proofs
from mlflow_serving_plugin.controller.reading import Found, Reading
from mlflow_serving_plugin.controller.refresh import asked_anew
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.state import ControllerState
from mlflow_serving_plugin.controller.tasks import Outcome, Tasks
from mlflow_serving_plugin.controller.tracking import Tracking
from mlflow_serving_plugin.controller.transitions import transitions
from mlflow_serving_plugin.controller.updates import Updates
from mlflow_serving_plugin.controller.usage import Usage
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.messages import Changed, Inbox, Lost, Nudge, Overdue, Wake
from mlflow_serving_plugin.host.snapshot import Publisher, routes_before
from mlflow_serving_plugin.metrics.controller import ControllerMetrics
from mlflow_serving_plugin.metrics.recorder import Recorder

_logger = logging.getLogger(__name__)


class StateLostError(Exception):
    """The state directory, or a part of it, was removed or replaced while the controller ran."""


class Controller:
    """One host's controller. All its state belongs to the thread that calls ``run`` (or ``tick``)."""

    def __init__(self, deps: ControllerDeps) -> None:
        self._deps = deps
        self._settings = deps.settings
        self._inbox = Inbox(deps.paths.nudges)
        self._tasks = Tasks(self._inbox.wake)
        self._journal = Journal(deps.store, self._tasks, deps.settings)
        self._state = ControllerState(
            deps.settings.backoff_base_s,
            deps.settings.backoff_cap_s,
            deps.environments.doing,
            Proofs(deps.paths.proofs),
        )
        self._usage = Usage(deps.paths.metrics, deps.metrics)
        self._memory = MemoryWatch(deps.settings, deps.backend, self._tasks, deps.metrics)
        self._metrics = ControllerMetrics(
            deps.metrics,
            deps.paths.metrics,
            partial(self._tasks.start, "metrics"),
            recorder=Recorder(deps.paths.metrics, deps.paths.history, deps.settings.history_max_bytes),
            merge_every_s=deps.merge_metrics_every_s,
        )
        self._tracking = Tracking(deps.tracking, deps.worker_tokens, deps.settings, self._tasks)
        self._executor = Executor(deps, self._tasks, self._state, self._metrics, self._tracking)
        self._routes = routes_before(deps.paths.routes, deps.paths.routes_at_stop)
        self._describer = Describer(deps.settings.request_timeout_s, deps.environments.log)
        self._publisher = Publisher(deps.paths.routes)
        self._view: View | None = None
        self._settled: tuple[object, ...] | None = None
        """What there was to see in the last tick, if nothing was to be done about it."""
        self._reading = Reading(deps, self._tasks)
        self._updates = Updates(deps.store, self._tasks, deps.paths.host_name())
        clear_scratch(deps.paths)
        self._directories = deps.paths.identity()

    def run(self, stop: threading.Event) -> None:
        """Tick until ``stop`` is set; ``wake`` makes it notice at once. StateLostError."""
        try:
            self._deps.environments.remove_interrupted()
            self._deps.backend.adopt()
            nudges: list[Nudge] = []
            while not stop.is_set():
                if self._deps.paths.identity() != self._directories:
                    raise StateLostError
                self.tick(nudges, time.monotonic())
                nudges = self._inbox.wait(self._settings.tick_interval_s)
        finally:
            self._metrics.close(self._routes)
            self._deps.environments.cancel()
            self._deps.backend.cancel()
            self._inbox.close()

    def wake(self) -> None:
        """Make the next tick come now. From any thread."""
        self._inbox.wake()

    def tick(self, nudges: list[Nudge], now: float) -> None:
        """One round. ``now`` by a monotonic clock, in seconds."""
        started = self._metrics.now()
        self._deps.paths.renew_lease()
        self._tasks.settle(now)
        for nudge in nudges:
            self._take(nudge, now)
        self._reading.start_if_due(self._view, self._state, self._refreshed, now)
        if self._view is not None:
            self._reconcile(self._view, now)
        self._journal.flush(now, _now_ms())
        self._metrics.ticked(started)

    def _reconcile(self, view: View, now: float) -> None:
        observed = self._state.observe(self._deps.backend.observe(), now)
        self._executor.see_to_draining(observed, now)
        blocked = self._executor.clearing_up
        usage = self._usage
        usage.look(self._state.desired, observed, now)
        wanted = scale(self._state.desired, observed, usage.used_at, usage.loads, usage.looked_at)
        replicas, observed = self._fit(wanted, observed, now)
        self._state.forget_failures(replicas)
        # The same of all that plan and describe look at: with thousands of versions a look at each takes long.
        seen = view, self._state.desired, replicas, observed, observed.due(now), blocked
        if seen != self._settled or not self._publisher.intact():
            observed, acted = self._act(replicas, observed, now, blocked=blocked)
            published = self._publish(view, replicas, observed)
            self._settled = None if acted or published else seen
        self._updates.see_to(view, self._routes, now)
        # After that: a fetch that has just begun must not have its directory cleared away.
        self._executor.sweep_if_due(observed)
        self._executor.rest_if_idle(observed)
        self._tracking.renew_if_due(observed.workers, now)
        self._metrics.merge_if_due(self._routes, now)
        self._metrics.record_if_due(self._routes)
        self._reading.read_later(self._state, now)

    def _fit(
        self, replicas: Mapping[EntityKey, int], observed: Observed, now: float
    ) -> tuple[Mapping[EntityKey, int], Observed]:
        """The numbers of workers with the versions at zero that go to sleep for memory, and which launches wait."""
        usage = self._usage
        admission, events = self._memory.admit(
            self._state.desired, replicas, observed, usage.used_at, now=now, looked_at=usage.looked_at
        )
        self._journal.add(events)
        usage.put_to_sleep(admission.evicted)
        self._state.held_back = admission.held_back
        return {**replicas, **dict.fromkeys(admission.evicted, 0)}, replace(observed, held_back=admission.held_back)

    def _act(
        self, replicas: Mapping[EntityKey, int], observed: Observed, now: float, *, blocked: bool
    ) -> tuple[Observed, bool]:
        """Begin what is due; what is observed after that, and whether anything was due."""
        actions = plan(
            self._state.desired,
            replicas,
            observed,
            now=now,
            # What clearing up does not know of must not come into being meanwhile.
            launch_slots=0 if blocked else self._settings.max_concurrent_starts,
            fetch_slots=0 if blocked else self._settings.max_concurrent_fetches,
            build_slots=0 if blocked else self._settings.max_concurrent_builds,
            first=self._usage.used_at.keys() - {worker.key for worker in observed.workers if worker.ready},
        )
        statuses = {worker.worker_id: worker for worker in observed.workers}
        for action in actions:
            self._executor.execute(action, statuses, now)
        return (self._state.observed(observed.workers), True) if actions else (observed, False)

    def _publish(self, view: View, replicas: Mapping[EntityKey, int], observed: Observed) -> bool:
        """Publish the routes now; whether there was something to publish."""
        now_ms = _now_ms()
        routes = self._describer.describe(view, self._state.desired, replicas, observed, self._routes, now_ms=now_ms)
        if replace(routes, written_ms=self._routes.written_ms) == self._routes and self._publisher.intact():
            return False
        try:
            self._publisher.publish(routes)
        except OSError:
            _logger.exception("The routes snapshot could not be written, trying again.")
            return True
        self._journal.add(transitions(self._routes, routes, now_ms))
        self._metrics.woken(self._routes, routes)
        self._routes = routes
        return True

    def _take(self, nudge: Nudge, now: float) -> None:
        """Act on a nudge."""
        if isinstance(nudge, Wake):
            self._usage.wake(EntityKey(nudge.endpoint_id, nudge.entity), now)
        elif isinstance(nudge, Overdue):
            self._recycle(nudge, now)
        elif isinstance(nudge, Lost):
            self._state.lost_in_hand |= {nudge.worker_id} if nudge.in_hand else set()
        elif isinstance(nudge, Changed):
            self._reading.soon(nudge.workspace, nudge.name, now)

    def _recycle(self, overdue: Overdue, now: float) -> None:
        """End a worker that still runs a prediction whose request timed out: at once, unless others may finish."""
        for worker in self._deps.backend.observe():
            if worker.worker_id != overdue.worker_id or worker.phase is not WorkerPhase.READY:
                continue
            if overdue.answers and (wanted := self._state.desired.get(worker.key)) is not None:
                longest_s = wanted.settings.request_timeout_s + self._settings.overdue_grace_s
                self._state.drain(worker.worker_id, now + longest_s)
            else:
                self._executor.stop(worker, now, failure=OVERDUE, at_once=True)

    def _refreshed(self, outcome: Outcome, _: float) -> None:
        found: Found = outcome.value
        if self._view is None:
            _logger.info("Serving is on, for %d endpoints. The page: %s", len(found.view.endpoints), self._deps.page)
        before, self._view = self._view or View(), found.view
        self._executor.sweep_due |= found.desired.keys() != self._state.desired.keys()
        self._state.refreshed(found.desired, found.needs, found.unread, asked_anew(before, self._view))
        self._memory.forget(found.desired)


def _now_ms() -> int:
    return int(time.time() * 1000)
