"""From a request that workers can read to a worker's answer: hold, pick a worker, retry. No I/O of its own.

Requests for an entity that starts or restarts are held. A request that lost its worker is retried with its whole
timeout, since scoring is a pure call: until the request is to blame for a loss (see ``blame``), or its time is over.
Only one request of a host at a time is on trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from mlflow_serving_plugin.domain.reference import Reference
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.errors import TemporarilyUnavailableError
from mlflow_serving_plugin.gateway.blame import Turn
from mlflow_serving_plugin.gateway.choice import Choice, choose, renew
from mlflow_serving_plugin.gateway.dialects.base import ScoringRequest
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.limits import InFlight, Loads
from mlflow_serving_plugin.gateway.losses import Losses
from mlflow_serving_plugin.gateway.messages import Pause, Pieces, Steps, TakeEvents
from mlflow_serving_plugin.gateway.time_budget import RETRY_AFTER_S, TimeBudget
from mlflow_serving_plugin.host.locks import KeyedLocks
from mlflow_serving_plugin.host.messages import Nudge, Wake
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.links.base import LostError, WorkerCall, WorkerReply, WorkerStream
from mlflow_serving_plugin.settings import Settings

_POLL_S = 0.025
_TURN_POLL_S = 0.005
_WAKE_EVERY_S = 0.1
"""The controller is told of a sleeping entity again and again: under load a datagram may be lost."""
_MOST_WOKEN = 256
"""Of the entities that the controller was told of, those told long ago are then forgotten."""
_SHORTEST_S = 0.001
_UNLOCKED = nullcontext()


class Holding:
    """Gets answers from workers. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        snapshot: SnapshotReader,
        *,
        locks: KeyedLocks,
        nudge: Callable[[Nudge], None],
        clock: Callable[[], float],
    ) -> None:
        self._hold_s = settings.hold_timeout_s
        self._snapshot = snapshot
        self.waiting = InFlight()
        """Requests held until a worker is ready."""
        self._suspects = InFlight()
        """Requests that lost a worker and are with another now."""
        self._joined: Counter[tuple[str, str]] = Counter()
        """How often a suspect was sent beside others: a trial during which one was sent tells nothing."""
        self.loads = Loads()
        """Calls that workers have in hand, by worker id."""
        self._locks = locks
        self._nudge = nudge
        self._losses = Losses(nudge)
        self._clock = clock
        self._woken_at: dict[tuple[str, str], float] = {}

    def budget(self, cap_s: float | None) -> TimeBudget:
        """A request's time. ``cap_s``: the longest that its driver can hold the request."""
        return TimeBudget(self._hold_s if cap_s is None else min(self._hold_s, cap_s))

    def choose(self, exchange: Exchange, reference: Reference, budget: TimeBudget) -> Steps[Choice]:
        """Choose the entity that answers. NotFoundError, UnavailableError.

        A host that has just started has no routes, which is not the same as "not enabled".
        """
        while True:
            routes = self._snapshot.current()
            if routes.written_ms or routes.endpoints:
                return self._chosen(exchange, choose(routes, exchange.workspace, reference, exchange.point))
            if budget.hold_s <= 0:
                raise TemporarilyUnavailableError("Serving is starting on this server.", retry_after_s=RETRY_AFTER_S)
            yield from self._pause(exchange, budget)

    def ask(
        self, exchange: Exchange, choice: Choice, request: ScoringRequest, budget: TimeBudget
    ) -> Steps[tuple[WorkerReply, bytes | Pieces]]:
        """A worker's answer and its body. Of a stream the first event has come."""
        avoid: set[str] = set()
        while True:
            choice = self._renewed(exchange, choice)
            worker = self.loads.pick(choice.workers, avoid)
            if worker is None:
                avoid.clear()
                budget.raise_unless_holdable(choice)
                self.wake(choice, budget.held_s)
                with self.waiting.slot(choice.key):
                    yield from self._pause(exchange, budget)
                continue
            endpoint, careful = choice.endpoint, budget.suspicion.losses > 0
            timeout_s = endpoint.config.request_timeout_s
            call = WorkerCall(
                worker,
                request.content_type,
                request.body,
                timeout_s,
                exchange.workspace,
                endpoint.name,
                careful,
                request.stream,
                exchange.context,
            )
            # From here until the lock is held by ``with`` nothing may fail: a lock that stays taken ends all trials.
            turn, lock = self._turn(choice.key, budget)
            if turn is Turn.WAIT:
                yield from self._pause(exchange, budget, _TURN_POLL_S)
                continue
            joined = self._join(choice.key, turn) if careful else 0
            started_s = self._clock()
            load = exchange.load = self.loads.slot(worker.worker_id)
            try:
                with lock, self._suspects.slot(choice.key) if careful else _UNLOCKED:
                    reply: WorkerReply = yield call
                    body = reply.body if isinstance(reply.body, bytes) else (yield from _begun(reply.body))
            except LostError as lost:
                crowd = self.loads.crowd(worker.worker_id)
                load.release()
                avoid.add(worker.worker_id)
                took_s = self._clock() - started_s
                exchange.queue_s += took_s
                self._losses.note(exchange, worker.worker_id, lost)
                if lost.sent:
                    alone = turn is Turn.TRIAL and self._joined[choice.key] == joined
                    budget.note_loss(crowd, Turn.TRIAL if alone else Turn.FREE, took_s)
                continue
            self._losses.answered(worker.worker_id)
            if isinstance(body, bytes):
                load.release()
            exchange.spend_call(reply, self._clock() - started_s)
            return reply, body

    def wake(self, choice: Choice, held_s: float = 0.0) -> None:
        """Tell the controller that a request is held: for each request once, and for a sleeping entity until it wakes.

        However many requests wait for an entity, the controller is told ten times a second.
        """
        now = self._clock()
        due = now - self._woken_at.get(choice.key, -_WAKE_EVERY_S) >= _WAKE_EVERY_S
        if due and (not held_s or choice.entity.state is EntityState.ASLEEP):
            if len(self._woken_at) >= _MOST_WOKEN:
                self._woken_at = {key: at for key, at in self._woken_at.items() if now - at < _WAKE_EVERY_S}
            self._woken_at[choice.key] = now
            self._nudge(Wake(*choice.key))

    def _renewed(self, exchange: Exchange, choice: Choice) -> Choice:
        """The choice by the newest routes. When another entity has to answer, the place in flight moves with it."""
        renewed = renew(choice, self._snapshot.current())
        return choice if renewed is choice else self._chosen(exchange, renewed)

    def choose_again(self, exchange: Exchange, choice: Choice, point: float) -> Choice:
        """The choice of a serving endpoint's entity by another point, in the same routes."""
        exchange.point = point
        return self._chosen(exchange, choose(choice.routes, exchange.workspace, choice.reference, point))

    def _chosen(self, exchange: Exchange, choice: Choice) -> Choice:
        """Take a choice. TemporarilyUnavailableError when the caller's permission is not known for the choice."""
        if choice.reference.of_serving_endpoint and not set(choice.endpoint.models or ()) <= set(exchange.models):
            raise TemporarilyUnavailableError(
                f"The configuration of serving endpoint '{choice.endpoint.name}' has just changed.", retry_after_s=1
            )
        if exchange.choice is not None and choice.key != exchange.choice.key and exchange.place is not None:
            exchange.place.move(choice.key)
        exchange.choice = choice
        return choice

    def _turn(self, key: tuple[str, str], budget: TimeBudget) -> tuple[Turn, AbstractContextManager[object]]:
        """How the request may be sent now, and what a request on trial holds meanwhile."""
        if not budget.suspicion.losses or budget.hold_s <= 0:
            return Turn.FREE, _UNLOCKED
        others = self._suspects.counts().get(key, 0)
        turn = budget.suspicion.turn(others)
        if turn is not Turn.TRIAL:
            return turn, _UNLOCKED
        lock = self._locks.try_acquire(key)
        # Another web worker of this host has a suspect with a worker.
        return (turn, lock) if lock is not None else (budget.suspicion.turn(others + 1), _UNLOCKED)

    def _join(self, key: tuple[str, str], turn: Turn) -> int:
        """Note that a suspect is sent; how many were sent beside others until then."""
        self._joined[key] += turn is Turn.FREE
        return self._joined[key]

    def _pause(self, exchange: Exchange, budget: TimeBudget, longest_s: float = _POLL_S) -> Steps[None]:
        started_s = self._clock()
        yield Pause(max(_SHORTEST_S, min(longest_s, budget.hold_s)))
        took_s = self._clock() - started_s
        budget.spend(took_s)
        budget.suspicion.waited_s += took_s
        exchange.queue_s += took_s


def _begun(stream: WorkerStream) -> Steps[Pieces]:
    """The pieces of a stream whose first events have come; LostError when none comes."""
    try:
        first: list[bytes] = yield TakeEvents(stream)
    except BaseException:
        stream.close()
        raise
    return Pieces(first, stream)
