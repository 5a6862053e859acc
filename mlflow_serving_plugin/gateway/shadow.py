"""Shadow: a part of a serving endpoint's requests is scored once more by another entity, for the counts alone.

The shadow begins after the caller's answer has left. Under load, shadow requests are what is dropped first: they wait
for nothing, and take only workers and memory that callers leave.
"""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from mlflow_serving_plugin.domain.agreement import Agreement, agreement
from mlflow_serving_plugin.domain.reference import TRAFFIC
from mlflow_serving_plugin.domain.routes import EntityRoute, WorkerRoute
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.errors import ServingError, TooManyRequestsError
from mlflow_serving_plugin.gateway.choice import Choice
from mlflow_serving_plugin.gateway.dialects.base import ScoringRequest
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.holding import Holding
from mlflow_serving_plugin.gateway.limits import BodyMemory, InFlight, Reservation, Slot
from mlflow_serving_plugin.gateway.messages import Aside, Pause, RunBlocking, Steps
from mlflow_serving_plugin.host.differences import MOST, keep, text_of
from mlflow_serving_plugin.links.base import WorkerCall, WorkerReply
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import SHADOW_REQUESTS, SHADOW_SECONDS

DROPPED, ERROR = "dropped", "error"
"""Beside the agreements, what became of a shadow request."""

_MOST = 8
"""Shadow requests of one web worker at a time."""
_MOST_OF_A_WORKER = 2
"""Requests that a worker of the shadow has in hand, from one web worker."""
_BUSY = 4
"""With so many requests of callers in hand, a web worker begins no shadow request."""
_LOOK_S, _LOOKS = 0.003, 30
"""While callers wait for answers, a shadow request waits for a moment without any: not for longer than all looks."""
_LARGE_BYTES = 32 * 1024
"""Comparing more than this on an event loop would keep requests waiting."""
_KEEP_EVERY_S = 0.5
_MARGIN_S = 10.0
"""Until an aside is ended, beyond the request timeout."""


class Scored(NamedTuple):
    """A request that a caller has the answer to. ``took_s``: in the worker."""

    choice: Choice
    shadow: Shadow
    request: ScoringRequest
    request_id: str
    workspace: str
    answer: bytes
    took_s: float

    @property
    def labels(self) -> tuple[str, str]:
        """What the shadow is counted by: the endpoint's id and the entity's name."""
        return self.choice.endpoint.id, self.shadow.entity


class _Held(Reservation):
    """The memory and the places of a shadow request, released together."""

    def __init__(self, memory: BodyMemory, *slots: Slot) -> None:
        super().__init__(memory)
        self._slots = slots

    def release(self) -> None:
        super().release()
        for slot in self._slots:
            slot.release()


class Shadows:
    """Begins shadow requests. Thread-safe. ``directory``: of the pairs that differ; None: they are not kept."""

    def __init__(
        self,
        holding: Holding,
        in_flight: InFlight,
        memory: BodyMemory,
        metrics: Metrics,
        directory: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._holding = holding
        self._in_flight = in_flight
        self._memory = memory
        self._metrics = metrics
        self._directory = directory
        self._clock = clock
        self._places = InFlight(_MOST)
        self._unkept: dict[str, deque[dict[str, Any]]] = {}
        """By endpoint: the pairs that differ, until they are written."""

    def follow(self, exchange: Exchange, request: ScoringRequest, answer: WorkerReply, body: bytes) -> None:
        """Have a request scored once more when its answer has left, where the endpoint's shadow is to see it."""
        choice = exchange.choice
        shadow = choice.endpoint.shadow if choice else None
        if choice is None or shadow is None or choice.reference.kind != TRAFFIC or answer.status != 200:
            return
        if choice.entity.name != shadow.entity and random.random() * 100 < shadow.percentage:  # noqa: S311 - no secret
            took_s = sum(answer.times_us) / 1e6 if answer.times_us else exchange.predict_s
            scored = Scored(choice, shadow, request, exchange.request_id, exchange.workspace, body, took_s)
            exchange.after = partial(self._begin, scored)

    def _begin(self, scored: Scored, start: Callable[[Aside], bool]) -> None:
        worker = self._free_worker(scored)
        held = None if worker is None else self._hold(scored, worker)
        if worker is None or held is None:
            self._count(scored, DROPPED)
            return
        timeout_s = scored.choice.endpoint.config.request_timeout_s
        if not start(Aside(self._score(scored, worker, timeout_s), held, timeout_s + _MARGIN_S)):
            self._count(scored, DROPPED)

    def _free_worker(self, scored: Scored) -> WorkerRoute | None:
        """The shadow's worker with the fewest requests; None when callers need it, or there is none."""
        if self._in_flight.total() >= _BUSY:
            return None
        choice = scored.choice
        entity = choice.routes.entities.get("/".join(scored.labels))
        if entity is None:
            return None
        if entity.state is EntityState.ASLEEP:
            # The next shadow request may find the shadow awake.
            self._holding.wake(choice._replace(entity=entity))
        workers = entity.ready_workers if entity.state.facts.scores else ()
        worker = self._holding.loads.pick(workers)
        in_hand = self._holding.loads.counts()
        return worker if worker and in_hand.get(worker.worker_id, 0) < _MOST_OF_A_WORKER else None

    def _hold(self, scored: Scored, worker: WorkerRoute) -> _Held | None:
        """Memory, and a place among the shadow requests; None when one of the two is not free."""
        try:
            place = self._places.slot("shadow")
        except TooManyRequestsError:
            return None
        held = _Held(self._memory, place, self._holding.loads.slot(worker.worker_id))
        try:
            held.grow_to(len(scored.request.body) + len(scored.answer))
        except TooManyRequestsError:
            held.release()
            return None
        return held

    def _score(self, scored: Scored, worker: WorkerRoute, timeout_s: float) -> Steps[None]:
        request, endpoint = scored.request, scored.choice.endpoint
        call = WorkerCall(worker, request.content_type, request.body, timeout_s, scored.workspace, endpoint.name)
        for _ in range(_LOOKS):
            if not self._in_flight.total():
                break
            yield Pause(_LOOK_S)
        if self._in_flight.total() >= _BUSY:
            self._count(scored, DROPPED)
            return
        started_s = self._clock()
        try:
            reply: WorkerReply = yield call
        except ServingError:
            self._count(scored, ERROR)
            return
        took_s = sum(reply.times_us) / 1e6 if reply.times_us else self._clock() - started_s
        if reply.status != 200 or not isinstance(reply.body, bytes):
            self._count(scored, ERROR)
            return
        self._metrics.observe(SHADOW_SECONDS, scored.took_s, *scored.labels, "primary")
        self._metrics.observe(SHADOW_SECONDS, took_s, *scored.labels, "shadow")
        compare = partial(agreement, scored.answer, reply.body, scored.shadow.tolerance)
        large = len(scored.answer) + len(reply.body) > _LARGE_BYTES
        found: Agreement = (yield RunBlocking(compare)) if large else compare()
        self._count(scored, found.value)
        if found is Agreement.DIFFERS and self._directory is not None:
            yield from self._keep(self._directory, scored, reply.body)

    def _keep(self, directory: Path, scored: Scored, answer: bytes) -> Steps[None]:
        """Keep the pair. The first of several writes for all that come meanwhile."""
        endpoint_id = scored.choice.endpoint.id
        writes = endpoint_id not in self._unkept
        unkept = self._unkept.setdefault(endpoint_id, deque(maxlen=MOST))
        unkept.append(_difference(scored, answer))
        if writes:
            try:
                yield Pause(_KEEP_EVERY_S)
            finally:
                del self._unkept[endpoint_id]
            yield RunBlocking(partial(keep, directory, endpoint_id, list(unkept)))

    def _count(self, scored: Scored, result: str) -> None:
        self._metrics.count(SHADOW_REQUESTS, *scored.labels, result)


def _difference(scored: Scored, answer: bytes) -> dict[str, Any]:
    entities, endpoint_id = scored.choice.routes.entities, scored.choice.endpoint.id
    shadow: EntityRoute = entities[f"{endpoint_id}/{scored.shadow.entity}"]
    return {
        "request_id": scored.request_id,
        "request_time": int(time.time() * 1000),
        "served_model_name": scored.choice.entity.served_name,
        "shadow_model_name": shadow.served_name,
        "request": text_of(scored.request.body),
        "response": text_of(scored.answer),
        "shadow_response": text_of(answer),
    }
