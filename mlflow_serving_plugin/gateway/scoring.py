"""From a request body to its predictions: limits, dialect, hold, worker, retry, reply. Part of the core, no I/O.

A version that starts or restarts holds its requests; a worker that is lost costs one retry, since scoring is a
pure call; a second loss is taken as the request's own fault. Lest the guilty one take others with it again, those
that have lost a worker are tried one after the other, on the whole host.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.errors import (
    DeadlineError,
    UnavailableError,
    UnsupportedTypeError,
    WorkerCrashedError,
)
from mlflow_serving_plugin.gateway.dialects.base import Dialect, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.failures import explain
from mlflow_serving_plugin.gateway.limits import InFlight, Loads, Room, declared_length
from mlflow_serving_plugin.gateway.messages import Head, Pause, ReadBody, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.trail import Trail
from mlflow_serving_plugin.host.messages import Nudge
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.host.turns import Turns
from mlflow_serving_plugin.links.calls import LostError, WorkerCall, WorkerReply
from mlflow_serving_plugin.metrics.counting import IN_FLIGHT, WAITING, Metrics
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)

_POLL_S = 0.025
_TURN_POLL_S = 0.005
_TURN_S = 1.0
"""How long a request that has lost a worker waits for its turn to be tried without others that have."""
_SHORTEST_S = 0.001
_RETRY_AFTER_S = 2
_LARGE_BYTES = 256 * 1024
_AT_ONCE = nullcontext()


class Wanted(NamedTuple):
    """What a request names."""

    workspace: str
    reference: Reference

    def resolve(self, routes: Routes) -> tuple[EndpointRoute, EntityRoute]:
        """What it names now; NotFoundError."""
        endpoint = routes.endpoint(self.workspace, self.reference.name)
        return endpoint, endpoint.resolve(self.reference)


@dataclass(slots=True)
class _Patience:
    """What is left of a request's time, in seconds, and how many workers it has lost."""

    hold_s: float
    spent_predicting_s: float = 0.0
    losses: int = 0
    turn_s: float = _TURN_S
    held_s: float = 0.0


def may_score(version: EntityRoute) -> bool:
    """Whether a worker takes requests now. One that drains finishes what it has and takes no more."""
    return version.state is not EntityState.DRAINING and bool(version.ready_workers)


class Scoring:
    """Answers ``invocations``. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        snapshot: SnapshotReader,
        metrics: Metrics,
        *,
        turns: Turns,
        nudge: Callable[[Nudge], None],
        clock: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._snapshot = snapshot
        self._metrics = metrics
        self._in_flight = InFlight(settings.max_in_flight)
        self._waiting = InFlight(sys.maxsize)
        self._loads = Loads()
        metrics.gauge(IN_FLIGHT, self._in_flight.counts)
        metrics.gauge(WAITING, self._waiting.counts)
        self._room = Room(max(settings.max_waiting_bytes, settings.max_body_bytes))
        self._turns = turns
        self._nudge = nudge
        self._clock = clock

    @property
    def busy(self) -> bool:
        """Whether there are requests that have no answer yet."""
        return any(self._in_flight.counts().values())

    def score(self, head: Head, dialect: Dialect, wanted: Wanted, trail: Trail) -> Steps[Reply]:
        """The reply to one scoring request. Raises ServingError for all that is to be an error of ours."""
        hold_s = self._settings.hold_timeout_s
        patience = _Patience(hold_s if head.hold_cap_s is None else min(hold_s, head.hold_cap_s))
        yield from self._await_first_routes(wanted, patience, trail)
        endpoint, version = wanted.resolve(self._snapshot.current())
        trail.endpoint_id, trail.version = endpoint.id, version.number
        if head.headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise UnsupportedTypeError("The scoring server takes bodies without Content-Encoding only.")
        read = dialect.reader(head.headers, endpoint.config.default_dialect)
        length = declared_length(head.headers, self._settings.max_body_bytes)
        with self._in_flight.slot((endpoint.id, version.number)), self._room.share() as share:
            self._metrics.touch()
            body: bytes = yield ReadBody(length, self._settings.max_body_bytes, share)
            started = self._clock()
            if len(body) > _LARGE_BYTES:
                # Parsing it here would keep every other request waiting.
                request: ScoringRequest = yield RunBlocking(partial(read, body))
            else:
                request = read(body)
            trail.reply_format = request.reply_format
            trail.spend("decode", self._clock() - started)
            answer = yield from self._ask(request, wanted, patience, trail)
        if len(answer.body) > _LARGE_BYTES:
            large: Reply = yield RunBlocking(partial(self._reply, answer, request, trail))
            return large
        return self._reply(answer, request, trail)

    def _await_first_routes(self, wanted: Wanted, patience: _Patience, trail: Trail) -> Steps[None]:
        """On a host that has only just started nothing is known yet, which is not the same as "not enabled"."""
        while True:
            routes = self._snapshot.current()
            if routes.written_ms or routes.endpoints:
                return
            if patience.hold_s <= 0:
                raise UnavailableError("Serving is starting on this server.", retry_after_s=_RETRY_AFTER_S)
            yield from self._pause(patience, trail)

    def _ask(self, request: ScoringRequest, wanted: Wanted, patience: _Patience, trail: Trail) -> Steps[WorkerReply]:
        """Have a worker score the request: hold it until there is one, try another when one is lost."""
        avoid: set[str] = set()
        while True:
            endpoint, version = wanted.resolve(self._snapshot.current())
            trail.endpoint_id, trail.version = endpoint.id, version.number
            worker = self._loads.pick(version.ready_workers, avoid) if may_score(version) else None
            if worker is None:
                avoid.clear()
                self._raise_unless_holdable(version, wanted, patience)
                with self._waiting.slot((endpoint.id, version.number)):
                    yield from self._pause(patience, trail)
                continue
            timeout_s = endpoint.config.request_timeout_s - patience.spent_predicting_s
            if timeout_s <= 0:
                raise DeadlineError(f"The prediction took longer than {endpoint.config.request_timeout_s:g} s.")
            turn = self._turn((endpoint.id, version.number), patience)
            if turn is None:
                yield from self._pause(patience, trail, _TURN_POLL_S)
                patience.turn_s -= _TURN_POLL_S
                continue
            started = self._clock()
            try:
                with turn, self._loads.call(worker.worker_id):
                    reply: WorkerReply = yield WorkerCall(
                        worker, request.content_type, request.body, timeout_s, wanted.workspace, wanted.reference.name
                    )
            except LostError as lost:
                avoid.add(worker.worker_id)
                self._note_loss(lost, self._clock() - started, wanted, patience, trail)
                continue
            trail.spend_call(reply.spent_us, self._clock() - started)
            return reply

    def _turn(self, key: tuple[str, int], patience: _Patience) -> AbstractContextManager[None] | None:
        """Leave to be scored now; None while a request that has lost a worker has to wait for another such."""
        if not patience.losses:
            return _AT_ONCE
        turn = self._turns.take(key)
        return turn if turn is not None or patience.turn_s > 0 else _AT_ONCE

    def _raise_unless_holdable(self, version: EntityRoute, wanted: Wanted, patience: _Patience) -> None:
        described = f"Version {version.number} of model '{wanted.reference.name}'"
        if version.state is EntityState.FAILED:
            raise UnavailableError(f"{described} has failed: {version.message}")
        if patience.hold_s <= 0:
            raise UnavailableError(
                f"{described} was not ready within {patience.held_s:.0f} s. It is {version.state.value}: "
                f"{version.message}",
                retry_after_s=_RETRY_AFTER_S,
            )

    def _note_loss(self, lost: LostError, took_s: float, wanted: Wanted, patience: _Patience, trail: Trail) -> None:
        self._nudge(Nudge(wanted.workspace, wanted.reference.name))
        trail.spend("queue", took_s)
        _logger.info(
            "Request %s on model %r version %s lost its worker: %s",
            trail.request_id,
            wanted.reference.name,
            trail.version,
            lost.message,
        )
        if not lost.sent:
            return
        patience.spent_predicting_s += took_s
        patience.losses += 1
        if patience.losses == 2:
            raise WorkerCrashedError("The model's worker crashed while scoring this request.")

    def _pause(self, patience: _Patience, trail: Trail, longest_s: float = _POLL_S) -> Steps[None]:
        started = self._clock()
        yield Pause(max(_SHORTEST_S, min(longest_s, patience.hold_s)))
        took_s = self._clock() - started
        patience.hold_s -= took_s
        patience.held_s += took_s
        trail.spend("queue", took_s)

    def _reply(self, answer: WorkerReply, request: ScoringRequest, trail: Trail) -> Reply:
        started = self._clock()
        if answer.status != 200:
            failure = explain(answer, debug=self._settings.debug)
            status, content_type, body = request.reply_format.refuse(failure)
            _logger.info(
                "Request %s on model %r version %s: the worker answered %d, the client gets %d",
                trail.request_id,
                trail.model,
                trail.version,
                answer.status,
                status,
            )
        else:
            body = request.reply_format.answer(answer.body)
            status, content_type = 200, answer.content_type or JSON
        trail.spend("encode", self._clock() - started)
        return Reply(status, [("Content-Type", content_type)], body)
