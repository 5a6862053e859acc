"""Streams of events, and work beside a request, through both drivers; workers here are doubles without a socket."""

from __future__ import annotations

import asyncio
import json
import threading
from types import SimpleNamespace

import pytest
from support.gateway_fakes import IRIS, routes, snapshot, until, version, worker_route

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.errors import DeadlineError, TooManyRequestsError
from mlflow_serving_plugin.gateway import asides
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.dialects.events import DONE
from mlflow_serving_plugin.gateway.messages import Aside, Pause, RunBlocking
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
from mlflow_serving_plugin.links.base import LostError, StreamFailedError, WorkerReply
from mlflow_serving_plugin.settings import Settings

URL = "/model/iris/1/invocations"


class Stream:
    """A worker's stream: gives its events one by one; an exception is raised, ``None`` hangs for ever."""

    def __init__(self, *pieces, awaited: bool) -> None:
        self._pieces = list(pieces)
        self._awaited = awaited
        self.closed = threading.Event()

    def take(self):
        return self._later() if self._awaited else self._next()

    def close(self) -> None:
        self.closed.set()

    async def _later(self):
        if self._pieces[:1] == [None]:
            await asyncio.Event().wait()
        return self._next()

    def _next(self):
        piece = self._pieces.pop(0) if self._pieces else None
        if isinstance(piece, Exception):
            raise piece
        return [piece] if piece else []


class Link:
    """In the place of both drivers' links: each call is answered by the next stream."""

    def __init__(self, *streams, awaited: bool) -> None:
        self.streams = [Stream(*pieces, awaited=awaited) for pieces in streams]
        self._left = list(self.streams)
        self._awaited = awaited

    def call(self, call):
        reply = WorkerReply(200, "text/event-stream", self._left.pop(0))
        return self._later(reply) if self._awaited else reply

    async def _later(self, reply):
        return reply

    async def close(self):
        pass


class Beside(Gateway):
    """A gateway that begins an aside with each request."""

    def respond(self, head):
        self.begun = [*getattr(self, "begun", ()), (yield self.aside())]
        return (yield from super().respond(head))


class Driver:
    """One request at a time through one of the drivers. ``ended``: the exchanges that observers saw."""

    def __init__(self, directory, *streams, gateway=Gateway, **settings) -> None:
        self.ended = []
        self.release = threading.Event()
        workers = [worker_route(directory / "w1"), worker_route(directory / "w2", "w2")]
        self.gateway = gateway(
            Settings(**settings),
            snapshot(directory / "routes.json", routes(version(1, *workers))),
            NoAuth(),
            HostServices(directory / "nudge"),
            observers=(self.ended.append,),
        )
        self.link = Link(*streams, awaited=self.awaited)


class Asgi(Driver):
    awaited = True

    def send(self, times=1, leave_after=None):
        """The last of so many replies; ``leave_after``: the client leaves when it has so many pieces."""

        async def score():
            app = AsgiGateway(self.gateway)
            app._links["http"] = self.link
            try:
                for _ in range(times):
                    reply = await self._send(app, leave_after)
                while self.gateway.memory.taken:
                    await asyncio.sleep(0.005)
            finally:
                await app.close()
            return reply

        return asyncio.run(asyncio.wait_for(score(), 20))

    async def _send(self, app, leave_after):
        messages, sent = asyncio.Queue(), []
        messages.put_nowait({"type": "http.request", "body": IRIS})
        aborted = []

        class Cycle:
            transport = SimpleNamespace(abort=lambda: aborted.append(True))

            async def send(self, message):
                sent.append(message)
                if len(sent) - 1 == leave_after:
                    messages.put_nowait({"type": "http.disconnect"})

        scope = {"method": "POST", "path": URL, "headers": [(b"content-type", b"application/json")]}
        await app(scope, messages.get, Cycle().send, URL)
        headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
        pieces = [message["body"] for message in sent[1:]]
        return SimpleNamespace(status=sent[0]["status"], headers=headers, pieces=pieces, broken=bool(aborted))


class Wsgi(Driver):
    awaited = False

    def send(self, times=1, leave_after=None):
        """The last of so many replies; ``leave_after``: the server closes the reply after so many pieces."""
        app = WsgiGateway(self.gateway)
        app._links["http"] = self.link
        for _ in range(times):
            reply = self._send(app, leave_after)
        self.release.set()
        until(lambda: self.gateway.memory.taken == 0)
        return reply

    def _send(self, app, leave_after):
        started = []
        environ = {"REQUEST_METHOD": "POST", "CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(IRIS))}
        environ["wsgi.input"] = SimpleNamespace(read=lambda size: IRIS)
        body = app(environ, lambda status, headers: started.append((status, headers)), URL)
        pieces, broken = [], False
        try:
            for piece in body:
                pieces.append(piece)
                if len(pieces) == leave_after:
                    break
        except LostError:
            broken = True
        finally:
            if hasattr(body, "close"):
                body.close()
        status, headers = started[0]
        names = {name.lower(): value for name, value in headers}
        return SimpleNamespace(status=int(status[:3]), headers=names, pieces=pieces, broken=broken)


drivers = pytest.mark.parametrize("driver", [Asgi, Wsgi])


@drivers
def test_events_go_out_one_by_one_without_a_length_and_done_is_the_last(short, driver):
    made = driver(short, [b"1", b"2"])
    reply = made.send()
    assert (reply.status, reply.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    assert "content-length" not in reply.headers
    assert [piece for piece in reply.pieces if piece] == [b"data: 1\n\n", b"data: 2\n\n", DONE]
    assert made.link.streams[0].closed.is_set()
    assert [exchange.status for exchange in made.ended] == [200]
    assert not made.gateway.busy


@drivers
def test_a_stream_without_events_is_done_at_once(short, driver):
    assert [piece for piece in driver(short, []).send().pieces if piece] == [DONE]


@drivers
def test_a_worker_lost_before_the_first_event_costs_the_request_nothing(short, driver):
    lost = LostError("reset", sent=True)
    made = driver(short, [lost], [b"1"])
    assert [piece for piece in made.send().pieces if piece] == [b"data: 1\n\n", DONE]
    assert all(stream.closed.is_set() for stream in made.link.streams)


FAILED = json.dumps({"error_code": "BAD_REQUEST", "message": "no more words"}).encode()
BETWEEN = [
    (LostError("/a/path: reset", sent=True), 502, "WORKER_CRASHED", "The model's worker ended in the middle"),
    (DeadlineError("No event came."), 504, "DEADLINE_EXCEEDED", "No event came."),
    (StreamFailedError(400, FAILED), 400, "BAD_REQUEST", "no more words"),
]


@drivers
@pytest.mark.parametrize(("error", "status", "code", "said"), BETWEEN)
def test_an_error_between_events_is_the_last_event_before_done(short, driver, error, status, code, said):
    made = driver(short, [b"1", error], [b"never"])
    first, last = (piece for piece in made.send().pieces if piece)
    assert (first, last.endswith(DONE)) == (b"data: 1\n\n", True)
    told = json.loads(last.removesuffix(DONE).removeprefix(b"data: "))["error"]
    assert told["error_code"] == code
    assert told["message"].startswith(said)
    assert [exchange.status for exchange in made.ended] == [status]
    assert not made.gateway.busy


@drivers
def test_a_client_that_leaves_between_events_closes_the_workers_stream(short, driver):
    made = driver(short, [b"1", None])
    assert made.send(leave_after=1).pieces == [b"data: 1\n\n"]
    assert made.link.streams[0].closed.is_set()
    assert [exchange.status for exchange in made.ended] == [499]
    assert not made.gateway.busy


def _failing():
    raise RuntimeError("the shadow failed")
    yield


@drivers
def test_an_aside_that_fails_harms_nobody(short, driver, caplog):
    caplog.set_level("INFO")
    made = driver(short, [b"x"], [b"x"], gateway=Beside)
    made.gateway.aside = lambda: Aside(_failing(), made.gateway.memory.reserve(80_000))
    assert made.send(times=2).status == 200
    assert made.gateway.begun == [True, True]
    assert caplog.text.count("the shadow failed") == 2


@drivers
def test_an_aside_that_hangs_delays_nobody_and_asides_over_the_limit_are_dropped(short, driver, monkeypatch):
    monkeypatch.setattr(asides, "MOST", 1)
    made = driver(short, [b"x"], [b"x"], gateway=Beside)

    def hang():
        # An event loop ends an aside by cancelling its wait; a thread cannot be ended from outside.
        yield Pause(3600) if driver.awaited else RunBlocking(lambda: made.release.wait(20))

    made.gateway.aside = lambda: Aside(hang(), made.gateway.memory.reserve(80_000), timeout_s=0.2)
    assert made.send(times=2).status == 200
    assert made.gateway.begun == [True, False]


@drivers
def test_an_aside_may_pause_and_run_functions(short, driver):
    done = threading.Event()

    def steps():
        yield Pause(0.0)
        yield RunBlocking(done.set)

    made = driver(short, [b"x", b"y"], gateway=Beside)
    made.gateway.aside = lambda: Aside(steps(), made.gateway.memory.reserve(80_000))
    made.send()
    assert done.is_set()


def test_asides_share_the_memory_of_request_bodies(short):
    made = Wsgi(short, max_waiting_bytes=100_000, max_body_bytes=100_000)
    held = made.gateway.memory.reserve(90_000)
    with pytest.raises(TooManyRequestsError):
        made.gateway.memory.reserve(90_000)
    held.release()
    made.gateway.memory.reserve(90_000)
