"""Between connections and model: what waits, what is scored together, and which connection gets which answer.

Why the model runs on the event loop's own thread: while the model computes, requests pile up in the sockets, and the
requests that are there when the model returns make the next batch. So a batch is as large as the load, and no request
waits for a batch to fill. A hand-over to a thread and back would cost more than most library models take, and the
model, which need not be thread-safe, is called by one thread only. A ping is answered between two calls of the model,
so a pong shows that the model has not hung. Custom models are the exception: a custom model may wait for a network, so
custom models run in as many threads as MLflow's own server has, or as ``max_concurrency`` says, and are never batched
unless their owner says so. With a ``max_concurrency`` of 1 they too run on the loop's thread, which has loaded them.

A request is under way from ``take`` to ``under_way.remove``; its answer is sent between the two.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from time import perf_counter_ns
from typing import Callable

from . import batching, wire
from .counts import BATCH_ROWS_BOUNDS, Counts, Histogram
from .process import say
from .request_context import RequestContext, during
from .score_together import score_together
from .scoring import Answer, Scorer
from .status import StatusFile
from .streams import Stream, Streams
from .threads import stream_threads_for, threads_for
from .under_way import UnderWay
from .waiting import Peer, Waiting, response_frame
from .watchdog import RunningPredictions


class Engine:
    """Belongs to the loop's thread. ``under_way``: the requests that have no answer yet."""

    def __init__(
        self,
        scorer: Scorer,
        verdict: batching.Verdict,
        max_batch_rows: int,
        status: StatusFile,
        running: RunningPredictions | None = None,
        batch_rows: Histogram | None = None,
        max_concurrency: int | None = None,
        max_streams: int | None = None,
    ) -> None:
        self.under_way = UnderWay()
        self.handing_back = False
        self._running = running or RunningPredictions(grace_s=1.0)
        self._batch_rows = batch_rows or Histogram(Counts(None), "", BATCH_ROWS_BOUNDS)
        self._scorer = scorer
        self._verdict = verdict
        self._max_batch_rows = max_batch_rows
        self._status = status
        self._waiting: deque[Waiting] = deque()
        self._scheduled = False
        self._batches = 0
        self._short_of_memory = threading.Lock()
        """Held by the one prediction that is computed anew because there was no memory."""
        one_at_a_time = scorer.library_flavor or verdict.on
        self._threads = threads_for(one_at_a_time=one_at_a_time, max_concurrency=max_concurrency)
        own_threads = stream_threads_for(max_streams or max_concurrency) if self._threads is not None else None
        self._streams = Streams(scorer, self._running, own_threads, self._end_stream)
        self._on_the_loop: Stream | None = None
        """The stream for whose end everything else waits."""

    @property
    def busy(self) -> bool:
        """Whether requests are under way, other than overdue predictions, which nobody waits for."""
        return len(self.under_way) > self._running.overdue()

    def take(
        self,
        peer: Peer,
        request_id: int,
        request: wire.Request,
        kind: type[Waiting] = Waiting,
        context: RequestContext | None = None,
    ) -> None:
        """A request came in; ``kind`` Stream: one that is to be answered event by event."""
        waiting = kind(peer, request_id, request, context)
        self.under_way.add(waiting)
        if self._threads is None:
            self._waiting.append(waiting)
            self._schedule()
        elif self.handing_back:
            self._reply(waiting, None)
        elif isinstance(waiting, Stream):
            self._streams.start_in_thread(waiting)
        else:
            waiting.job = self._threads.submit(self._score_in_thread, waiting, asyncio.get_running_loop())

    def credit(self, peer: Peer, request_id: int, size: int) -> None:
        """The gateway takes ``size`` bytes of a stream more."""
        stream = self.under_way.find(peer, request_id)
        if isinstance(stream, Stream):
            stream.add_credit(size)

    def stop_when_overdue(self, stop: Callable[[], object]) -> None:
        """Once a prediction is overdue, begin no other, and call ``stop``. Called on the loop that is to do so."""
        loop = asyncio.get_running_loop()
        self._running.drain_by(lambda: loop.call_soon_threadsafe(self._hand_back, stop))

    def _hand_back(self, stop: Callable[[], object]) -> None:
        """Requests that wait, and those still to come, are for another worker."""
        say("A prediction ran on long after its request timeout: the worker takes no more requests.")
        self.handing_back = True
        self._status.report_draining()
        for waiting in self.under_way:
            if waiting.job is not None and waiting.job.cancel():
                self._reply(waiting, None)
        stop()

    def report(self) -> None:
        """Tell the backend whether requests are scored together."""
        self._status.report_batching(self._verdict.on, self._verdict.why)

    def _schedule(self) -> None:
        if self._waiting and not self._scheduled and self._on_the_loop is None:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._score_waiting)

    def _score_waiting(self) -> None:
        """Score one batch of the waiting requests; the other requests wait until the sockets were read."""
        self._scheduled = False
        try:
            batch = self._next_batch()
            if batch:
                with self._running.during(max(waiting.request.timeout_ms for waiting in batch)):
                    if len(batch) > 1:
                        self._score_batch(batch)
                    else:
                        self._score_one(batch[0])
        finally:
            self._schedule()

    def _next_batch(self) -> list[Waiting]:
        """What to score next: requests whose rows fit together, or one request that has to be alone."""
        batch: list[Waiting] = []
        rows = 0
        now = perf_counter_ns()
        while self._waiting and (self._verdict.on or not batch):
            waiting = self._waiting[0]
            if waiting.useless(now):
                self._reply(self._waiting.popleft(), None)
                continue
            if isinstance(waiting, Stream):
                if not batch:
                    self._on_the_loop = waiting
                    self._waiting.popleft()
                    self._streams.go_on(waiting)
                break
            waiting.decode(self._scorer)
            rows += waiting.input.count if waiting.input else 0
            if batch and (waiting.alone or rows > self._max_batch_rows or not waiting.fits(batch[0])):
                break
            batch.append(self._waiting.popleft())
            if waiting.alone:
                break
        return batch

    def _score_one(self, waiting: Waiting) -> None:
        # A custom model is called once, also where it raises an error: it may do more than compute.
        answers = score_together(self._scorer, self._batch_rows, [waiting]) if self._scorer.library_flavor else None
        if answers is None:
            request = waiting.request
            with during(waiting.context):
                answers = [self._scorer.answer_decoded(request.content_type, request.body, waiting.input)]
            if waiting.input is not None:
                self._batch_rows.observe(waiting.input.count)
        self._reply(waiting, answers[0])

    def _score_batch(self, batch: list[Waiting]) -> None:
        answers = score_together(self._scorer, self._batch_rows, batch)
        self._batches += 1
        if answers is not None and self._verdict.must_check(self._batches):
            self._check(batch, answers)
        if answers is None or not self._verdict.on:
            # One request's input is to blame, or a check: score each request alone, so that the others are answered.
            for waiting in batch:
                waiting.alone = True
            self._waiting.extendleft(reversed(batch))
            return
        out: dict[Peer, list[bytes]] = {}
        for waiting, answer in zip(batch, answers):
            self.under_way.remove(waiting)
            out.setdefault(waiting.peer, []).extend(response_frame(waiting, answer))
        for peer, parts in out.items():
            for part in wire.coalesce(parts):
                peer.send(part)
        self._status.count(len(batch))

    def _check(self, batch: list[Waiting], answers: list[Answer]) -> None:
        """Compare a few rows with their answers alone; a difference ends batching for this version."""
        inputs = [waiting.input for waiting in batch if waiting.input is not None]
        why = batching.difference(self._scorer, inputs, [answer.body for answer in answers])
        if why is not None:
            self._verdict = batching.Verdict(False, why)
            say(f"Batching off: {why}.")
            self.report()

    def _score_in_thread(self, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        answer = None
        if not waiting.useless(perf_counter_ns()):
            with self._running.during(waiting.request.timeout_ms), during(waiting.context):
                answer = self._scorer.answer(waiting.request.content_type, waiting.request.body)
                if answer.short_of_memory:
                    # Another request may have taken all of the memory.
                    with self._short_of_memory:
                        answer = self._scorer.answer(waiting.request.content_type, waiting.request.body)
        loop.call_soon_threadsafe(self._reply, waiting, answer)

    def _reply(self, waiting: Waiting, answer: Answer | None) -> None:
        """Send an answer; None: the request was not scored, and does not have to be scored here."""
        self.under_way.remove(waiting)
        for part in response_frame(waiting, answer) if answer else (wire.encode(wire.DROPPED, waiting.id),):
            waiting.peer.send(part)
        if answer is not None and answer.status == 200:
            self._status.count(1)

    def _end_stream(self, stream: Stream, last: tuple[bytes, ...]) -> None:
        self.under_way.remove(stream)
        for part in last:
            stream.peer.send(part)
        if stream.begun:
            self._status.count(1)
        if stream is self._on_the_loop:
            self._on_the_loop = None
            self._schedule()
