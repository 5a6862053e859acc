"""Streams from a real worker through the links of both kinds of web server."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest
from support import eventually
from support.gateway_fakes import routes, snapshot, version, worker_route

from mlflow_serving_plugin.errors import DeadlineError
from mlflow_serving_plugin.links.base import LinkContext, LostError, StreamFailedError, WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink


class OnALoop:
    """The async link, and its streams, behind a blocking face."""

    def __init__(self, context: LinkContext) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._link = self.run(self._made(context))

    def call(self, call: WorkerCall):
        return self.run(self._link.call(call))

    def take(self, stream):
        return self.run(stream.take())

    def end(self, stream) -> None:
        self._loop.call_soon_threadsafe(stream.close)

    def close(self) -> None:
        self.run(self._link.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def run(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    async def _made(self, context: LinkContext):
        return AsyncFrameLink(context)


class Blocking(BlockingFrameLink):
    """The same face."""

    def take(self, stream):
        return stream.take()

    def end(self, stream) -> None:
        stream.close()


@pytest.fixture(params=[OnALoop, Blocking])
def link(request, short, streaming):
    streaming.connect().close()
    route = worker_route(Path(streaming.address))
    nudges = []
    made = request.param(LinkContext(snapshot(short / "routes.json", routes(version(1, route))), nudges.append, 0.2))
    made.nudges = nudges
    yield made
    made.close()


@pytest.fixture(scope="module")
def streaming(model_worker, models):
    yield from model_worker(models.path("streaming"), overdue_grace_s=60.0)


@pytest.fixture
def call(streaming):
    def call(timeout_s=30.0, **asked):
        body = json.dumps({"prompt": "word", "stream": True, **asked}).encode()
        route = worker_route(Path(streaming.address))
        return WorkerCall(route, "application/json", body, timeout_s, "default", "m", stream=True)

    return call


def all_events(link, reply):
    events = []
    while taken := link.take(reply.body):
        events += [json.loads(event) for event in taken]
    return events


def test_more_events_than_the_window_holds_come_whole_and_in_order(link, call):
    reply = link.call(call(number=300, prompt="x" * 1000))
    assert [event["n"] for event in all_events(link, reply)] == list(range(300))
    assert link.call(call(number=1)).status == 200


def test_an_event_larger_than_the_window_passes(link, call):
    (event,) = all_events(link, link.call(call(number=1, prompt="x" * 1_000_000)))
    assert len(event["text"]) > 1_000_000


def test_a_slow_reader_stops_the_model(link, call, short):
    begun = short / "begun"
    reply = link.call(call(number=1000, prompt="x" * 10_000, begun=str(begun)))
    # At a window of 64 KiB, some seven events fit; nothing says when no more will come, so look at what never should.
    eventually(begun.exists)
    for _ in range(20):
        assert link.call(call(number=1)).status == 200
    assert int(begun.read_text() or 0) < 20
    assert [event["n"] for event in all_events(link, reply)] == list(range(1000))


def test_a_client_that_leaves_ends_the_generator_and_the_link_goes_on(link, call, short):
    over = short / "over"
    reply = link.call(call(number=10**9, pause_s=0.001, over=str(over)))
    link.take(reply.body)
    link.end(reply.body)
    eventually(over.exists)
    assert len(all_events(link, link.call(call(number=3)))) == 3


def test_an_error_before_the_first_event_is_an_answer_and_after_it_an_error_of_the_stream(link, call):
    assert link.call(call(at=0, do="raise")).status == 400
    reply = link.call(call(at=1, do="raise"))
    assert len(link.take(reply.body)) == 1
    with pytest.raises(StreamFailedError) as caught:
        link.take(reply.body)
    assert caught.value.status == 400
    assert b"no more words" in caught.value.body


def test_a_timeout_is_between_events_and_not_of_the_whole_stream(link, call, short):
    assert len(all_events(link, link.call(call(timeout_s=4, number=15, pause_s=0.3)))) == 15
    release = short / "release"
    reply = link.call(call(timeout_s=1, number=2, at=1, do="wait", **{"for": str(release)}))
    link.take(reply.body)
    with pytest.raises(DeadlineError, match="no event within the request timeout of 1 s"):
        link.take(reply.body)
    release.touch()


def test_a_worker_that_dies_ends_the_stream_as_lost(link, call, short, start, models):
    own = start(models.path("streaming"))
    own.connect().close()
    route = worker_route(Path(own.address))
    release = short / "release"
    reply = link.call(call(at=1, do="die", **{"for": str(release)})._replace(worker=route))
    link.take(reply.body)
    release.touch()
    with pytest.raises(LostError):
        link.take(reply.body)
