"""Answers that come event by event, beside the engine's other requests.

A stream has a thread of its own from its first event to its last, since models keep things by thread. In a worker that
computes one prediction at a time, the events come on the event loop's thread, like predictions there, and everything
else waits for the end of the stream. A model is asked for its next event only while the gateway has given credit.
"""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from time import perf_counter_ns
from typing import Callable

from . import wire
from .model_stream import ModelStream, can_stream, event_encoder
from .request_context import RequestContext, during
from .scoring import Scorer
from .threads import ModelThreads
from .waiting import LARGEST_ANSWER, Peer, Waiting, response_frame, too_large, trace_frames
from .watchdog import RunningPredictions
from .wire_streams import encode_end


class Stream(Waiting):
    """A request that is answered event by event. ``wake``: called on new credit, and when the client is gone."""

    __slots__ = ("_changed", "_credit", "begun", "events", "wake")

    def __init__(
        self, peer: Peer, request_id: int, request: wire.Request, context: RequestContext | None = None
    ) -> None:
        super().__init__(peer, request_id, request, context)
        self.events: ModelStream | None = None
        self.begun = False
        """Whether an event has been sent."""
        self.wake: Callable[[], object] | None = None
        self._credit = 0
        self._changed = threading.Condition()

    def cancel(self) -> None:
        """Nobody waits for events any more."""
        with self._changed:
            self.cancelled = True
            self._changed.notify()
        self._call_wake()

    def add_credit(self, size: int) -> None:
        """The gateway takes so many bytes more."""
        with self._changed:
            self._credit += size
            self._changed.notify()
        self._call_wake()

    def may_go_on(self) -> bool:
        """Whether there is credit for an event, or the stream is to end."""
        return self._credit > 0 or self.cancelled

    def wait(self) -> None:
        """Return once the stream may go on."""
        with self._changed:
            self._changed.wait_for(self.may_go_on)

    def spend(self, size: int) -> None:
        """An event of so many bytes was sent."""
        with self._changed:
            self._credit -= size

    def _call_wake(self) -> None:
        wake, self.wake = self.wake, None
        if wake is not None:
            wake()


class Streams:
    """Takes events from the model. ``ended`` is called on the loop with a stream and its last frames.

    ``threads`` None: events come on the loop's own thread.
    """

    def __init__(
        self,
        scorer: Scorer,
        running: RunningPredictions,
        threads: ModelThreads | None,
        ended: Callable[[Stream, tuple[bytes, ...]], object],
    ) -> None:
        self._scorer = scorer
        self._running = running
        self._threads = threads
        self._ended = ended
        # Without MLflow's encoder no event is written: such a model answers an error instead of its first event.
        self._encode = event_encoder() if can_stream(scorer) else bytes

    def start_in_thread(self, stream: Stream) -> None:
        """Begin as soon as a thread is free."""
        assert self._threads is not None  # noqa: S101 - the engine has asked
        stream.job = self._threads.submit(self._run, stream, asyncio.get_running_loop())

    def go_on(self, stream: Stream) -> None:
        """On the loop's thread: send one event, then let the loop run, then the next."""
        if not stream.may_go_on():
            stream.wake = partial(asyncio.get_running_loop().call_soon, self.go_on, stream)
            return
        last = self._step(stream, stream.peer.send)
        if last is None:
            asyncio.get_running_loop().call_soon(self.go_on, stream)
        else:
            self._ended(stream, last)

    def _run(self, stream: Stream, loop: asyncio.AbstractEventLoop) -> None:
        last: tuple[bytes, ...] | None = None
        while last is None:
            stream.wait()
            last = self._step(stream, lambda part: loop.call_soon_threadsafe(stream.peer.send, part))
        loop.call_soon_threadsafe(self._ended, stream, last)

    def _step(self, stream: Stream, send: Callable[[bytes], object]) -> tuple[bytes, ...] | None:
        """Send the next event; or the stream's last frames, to be sent."""
        request = stream.request
        if stream.events is None:
            if stream.useless(perf_counter_ns()):
                return (wire.encode(wire.DROPPED, stream.id),)
            stream.events = ModelStream(self._scorer, self._encode, request.content_type, request.body)
        with self._running.during(request.timeout_ms), during(stream.context):
            if stream.cancelled:
                stream.events.close()
                return (*trace_frames(stream), encode_end(stream.id))
            event = stream.events.next()
            if isinstance(event, bytes) and len(event) > LARGEST_ANSWER:
                stream.events.close()
                event = too_large(len(event))
        if isinstance(event, bytes):
            stream.spend(len(event))
            stream.begun = True
            send(wire.encode(wire.PART, stream.id, event))
            return None
        if event.status == 200:
            return (*trace_frames(stream), encode_end(stream.id))
        if stream.begun:
            return (*trace_frames(stream), encode_end(stream.id, event.status, event.body))
        return response_frame(stream, event)
