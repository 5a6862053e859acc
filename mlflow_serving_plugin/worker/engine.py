"""Between connections and model: what waits, what is scored together, and who gets which answer."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
import traceback
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from . import batching, wire
from .scoring import JSON, Answer, Scorer

_JSON = JSON.encode()
_READ_AT_MOST_BYTES = 256 * 1024 * 1024
"""Of bodies that wait. Beyond it connections are not read until some are scored."""


class Peer(Protocol):
    """Whoever sent a request."""

    transport: asyncio.Transport | None

    def send(self, data: bytes) -> None:
        """Send frames."""

    def close(self) -> None:
        """Close the connection."""


class Waiting:
    """One request from its arrival to its answer."""

    __slots__ = ("arrived_ns", "cancelled", "decode_us", "id", "peer", "request", "rows")

    def __init__(self, peer: Peer, request_id: int, request: wire.Request) -> None:
        self.peer = peer
        self.id = request_id
        self.request = request
        self.arrived_ns = time.perf_counter_ns()
        self.cancelled = False
        self.rows: list[list[Any]] | None = None
        self.decode_us = 0

    def useless(self, now_ns: int) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.cancelled or (now_ns - self.arrived_ns) > self.request.timeout_ms * 1_000_000


class Engine:
    """Belongs to the loop's thread."""

    def __init__(self, scorer: Scorer, verdict: batching.Verdict, max_batch_rows: int, status_file: str) -> None:
        self.connections: set[Any] = set()
        self._scorer = scorer
        self._verdict = verdict
        self._max_batch_rows = max_batch_rows
        self._status_file = status_file
        self._waiting: deque[Waiting] = deque()
        self._waiting_bytes = 0
        self._paused = False
        self._scheduled = False
        self._under_way: dict[tuple[int, int], Waiting] = {}
        self._batches = 0
        # As asyncio.to_thread has in MLflow's own server.
        threads = min(32, (os.cpu_count() or 1) + 4)
        self._threads = None if scorer.library_flavour or verdict.on else ThreadPoolExecutor(threads)

    def take(self, peer: Peer, request_id: int, request: wire.Request) -> None:
        """A request came in."""
        waiting = Waiting(peer, request_id, request)
        self._under_way[id(peer), request_id] = waiting
        if self._threads is not None:
            future = asyncio.get_running_loop().run_in_executor(self._threads, self._score_alone, waiting)
            future.add_done_callback(lambda done: self._answered(waiting, done.result()))
            return
        self._waiting.append(waiting)
        self._waiting_bytes += len(request.body)
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._score_waiting)
        if self._waiting_bytes > _READ_AT_MOST_BYTES and not self._paused:
            self._set_paused(True)

    def cancel(self, peer: Peer, request_id: int) -> None:
        """The client of a request went away."""
        waiting = self._under_way.get((id(peer), request_id))
        if waiting is not None:
            waiting.cancelled = True

    def drop(self, peer: Peer) -> None:
        """A whole gateway went away."""
        for waiting in self._under_way.values():
            if waiting.peer is peer:
                waiting.cancelled = True

    async def drain(self) -> None:
        """Send new requests elsewhere, answer those that are here, close."""
        for connection in list(self.connections):
            connection.send(wire.encode(wire.GOODBYE))
        while self._under_way:
            await asyncio.sleep(0.01)
        for connection in list(self.connections):
            connection.close()
        await asyncio.sleep(0)

    def report(self) -> None:
        """Write the verdict where the backend looks for it."""
        scratch = self._status_file + ".tmp"
        with open(scratch, "w") as out:
            json.dump({"batching": self._verdict.on, "why": self._verdict.why}, out)
        os.replace(scratch, self._status_file)

    def _score_waiting(self) -> None:
        """Score one batch of what waits; what is left over gets its turn after the sockets were looked at."""
        batch: list[Waiting] = []
        rows = 0
        now = time.perf_counter_ns()
        while self._waiting and rows < self._max_batch_rows and (self._verdict.on or not batch):
            waiting = self._waiting.popleft()
            self._waiting_bytes -= len(waiting.request.body)
            if waiting.useless(now):
                self._under_way.pop((id(waiting.peer), waiting.id), None)
                continue
            start = time.perf_counter_ns()
            waiting.rows = self._scorer.decode(waiting.request.content_type, waiting.request.body)
            waiting.decode_us = (time.perf_counter_ns() - start) // 1000
            rows += len(waiting.rows or ())
            batch.append(waiting)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._score_waiting)
        else:
            self._scheduled = False
        if self._paused and self._waiting_bytes < _READ_AT_MOST_BYTES // 2:
            self._set_paused(False)
        self._score_batch(batch, now)

    def _score_batch(self, batch: list[Waiting], started_ns: int) -> None:
        together = [waiting for waiting in batch if waiting.rows is not None]
        answers = self._score_rows(together) if together else None
        out: dict[Any, list[bytes]] = {}
        for waiting in batch:
            if waiting.rows is None or answers is None:
                answer = self._scorer.score(waiting.request.content_type, waiting.request.body)
            else:
                answer = answers[waiting]
            self._under_way.pop((id(waiting.peer), waiting.id), None)
            out.setdefault(waiting.peer, []).append(_frame(waiting, answer, started_ns))
        for peer, frames in out.items():
            peer.send(b"".join(frames))
        if answers is not None and len(together) > 1:
            self._batches += 1
            if self._batches % batching.CHECK_EVERY == 0:
                self._check(together, answers)

    def _score_rows(self, batch: list[Waiting]) -> dict[Waiting, Answer] | None:
        """One call of the model for all; None when it raised or did not answer row by row: each is then alone."""
        rows = [row for waiting in batch for row in waiting.rows or ()]
        start = time.perf_counter_ns()
        try:
            output = self._scorer.predict_rows(rows)
            predicted = time.perf_counter_ns()
            parts: list[Any] | None = [output]
            if len(batch) > 1:
                parts = batching.split(output, [len(waiting.rows or ()) for waiting in batch])
            if parts is None:
                return None
            bodies = [self._scorer.answer(part) for part in parts]
        except Exception:  # whatever the model raises, MLflow's own way says it in MLflow's words
            if len(batch) == 1:
                traceback.print_exc()
            return None
        encode_us = (time.perf_counter_ns() - predicted) // 1000 // len(batch)
        predict_us = (predicted - start) // 1000
        return {
            waiting: Answer(200, JSON, body, waiting.decode_us, predict_us, encode_us)
            for waiting, body in zip(batch, bodies)
        }

    def _check(self, batch: list[Waiting], answers: dict[Waiting, Answer]) -> None:
        """Score some of a batch again, each row by itself; a difference ends batching for this version."""
        try:
            for waiting in random.sample(batch, min(batching.CHECKED_ROWS, len(batch))):
                singles = [self._scorer.jsonable(self._scorer.predict_rows([row]))[0] for row in waiting.rows or ()]
                if not batching.same(json.loads(answers[waiting].body)["predictions"], singles):
                    self._verdict = batching.Verdict(False, "a row scored in a batch and alone got different answers")
                    break
        except Exception as error:
            self._verdict = batching.Verdict(
                False, f"a row that was scored in a batch raised {type(error).__name__} alone"
            )
        if not self._verdict.on:
            self.report()

    def _score_alone(self, waiting: Waiting) -> tuple[int, Answer | None]:
        started = time.perf_counter_ns()
        if waiting.useless(started):
            return started, None
        return started, self._scorer.score(waiting.request.content_type, waiting.request.body)

    def _answered(self, waiting: Waiting, scored: tuple[int, Answer | None]) -> None:
        started, answer = scored
        self._under_way.pop((id(waiting.peer), waiting.id), None)
        if answer is not None:
            waiting.peer.send(_frame(waiting, answer, started))

    def _set_paused(self, paused: bool) -> None:
        self._paused = paused
        for connection in self.connections:
            if connection.transport is not None and not connection.transport.is_closing():
                (connection.transport.pause_reading if paused else connection.transport.resume_reading)()


def _frame(waiting: Waiting, answer: Answer, started_ns: int) -> bytes:
    queue_us = max(0, started_ns - waiting.arrived_ns) // 1000
    content_type = _JSON if answer.content_type is JSON else answer.content_type.encode()
    times = (queue_us, answer.decode_us, answer.predict_us, answer.encode_us)
    return wire.encode_response(waiting.id, answer.status, times, content_type, answer.body)
