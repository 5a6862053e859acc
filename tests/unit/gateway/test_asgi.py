"""The ASGI application end to end: a client of messages in front, a real HTTP worker behind."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import threading
from types import SimpleNamespace

import pytest
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker, worker_route

from mlflow_serving_plugin.access.base import Check, Permission, User
from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.settings import Settings

URL = "/model/iris/1/invocations"
JSON_HEADERS = [(b"content-type", b"application/json")]


class Client:
    """One request's end: gives its chunks, then waits; ``leave`` disconnects."""

    def __init__(self, *chunks: bytes, finished: bool = True) -> None:
        self._messages: asyncio.Queue = asyncio.Queue()
        self.taken = 0
        self.sent: list[dict] = []
        for number, chunk in enumerate(chunks, start=1):
            more = number < len(chunks) or not finished
            self._messages.put_nowait({"type": "http.request", "body": chunk, "more_body": more})

    def trickle(self) -> None:
        self._messages.put_nowait({"type": "http.request", "body": b" ", "more_body": True})

    def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})

    async def receive(self):
        message = await self._messages.get()
        self.taken += 1
        return message

    async def send(self, message) -> None:
        self.sent.append(message)

    @property
    def reply(self):
        start, end = self.sent
        headers = {name.decode(): value.decode() for name, value in start["headers"]}
        return SimpleNamespace(status=start["status"], headers=headers, body=end["body"])


@contextlib.asynccontextmanager
async def application(directory, published, access=None, **settings):
    gateway = Gateway(
        Settings(**settings),
        snapshot(directory / "routes.json", published),
        access or NoAuth(),
        HostServices(directory / "nudge"),
    )
    app = AsgiGateway(gateway)
    try:
        yield app
    finally:
        await app.close()


async def send(app, client, path=URL, method="POST", headers=JSON_HEADERS):
    scope = {"type": "http", "method": method, "path": path, "headers": headers}
    await asyncio.wait_for(app(scope, client.receive, client.send, path), 20)
    return client


def run(coroutine):
    return asyncio.run(coroutine)


@pytest.fixture
def served(short):
    return routes(version(1, worker_route(short / "w1")))


def test_a_request_goes_through(short, served):
    async def score():
        async with application(short, served) as app:
            return (await send(app, Client(IRIS[:10], IRIS[10:]))).reply

    with worker(short / "w1") as server:
        reply = run(score())
    assert (reply.status, reply.body) == (200, PREDICTED[2])
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["content-length"] == str(len(PREDICTED[2]))
    assert server.seen == [("application/json", IRIS)]


def test_many_requests_share_the_application(short, served):
    async def score():
        async with application(short, served) as app:
            return await asyncio.gather(*(send(app, Client(IRIS)) for _ in range(50)))

    with worker(short / "w1"):
        assert {client.reply.status for client in run(score())} == {200}


def test_an_undeclared_body_over_the_limit_is_not_read_on(short, served):
    async def score():
        async with application(short, served, max_body_bytes=15) as app:
            return await send(app, Client(*[b"x" * 10] * 50))

    client = run(score())
    assert (client.reply.status, client.taken) == (413, 2)


def test_a_client_that_stalls_within_its_body_is_answered(short, served):
    async def score():
        async with application(short, served, body_timeout_s=0.05) as app:
            return await send(app, Client(b"{", finished=False))

    reply = run(score()).reply
    assert (reply.status, json.loads(reply.body)["error_code"]) == (400, "BAD_REQUEST")
    assert "0.05 s" in json.loads(reply.body)["message"]


def test_a_client_that_trickles_its_body_is_answered_in_the_end(short, served):
    async def score():
        async with application(short, served, body_timeout_s=0.15) as app:
            client = Client(b"{", finished=False)
            request = asyncio.create_task(send(app, client))
            trickled = 0
            while not request.done():
                client.trickle()
                trickled += 1
                await asyncio.sleep(0.02)
            return trickled, await request

    trickled, client = run(score())
    assert client.reply.status == 400
    assert 20 < trickled < 500


def test_large_bodies_beyond_the_room_for_them_are_refused_with_when_to_try_again(short, served):
    body = IRIS + b" " * 100_000

    async def score():
        async with application(short, served, max_waiting_bytes=1, max_body_bytes=150_000) as app:
            slow = Client(body, finished=False)
            waiting = asyncio.create_task(send(app, slow))
            while not slow.taken:
                await asyncio.sleep(0.001)
            refused = await send(app, Client(body))
            small = await send(app, Client(IRIS))
            slow.leave()
            await waiting
            return refused.reply, small.reply, (await send(app, Client(body))).reply

    with worker(short / "w1"):
        refused, small, later = run(score())
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert (small.status, later.status) == (200, 200)


def test_a_large_reply_goes_out_in_pieces(short, served):
    answer = (200, "application/json", b'{"predictions": [' + b"1, " * 300_000 + b"1]}")

    async def score():
        async with application(short, served) as app:
            return await send(app, Client(IRIS))

    with worker(short / "w1", lambda *_: answer):
        start, *pieces = run(score()).sent
    assert start["status"] == 200
    assert b"".join(piece["body"] for piece in pieces) == answer[2]
    assert [piece["more_body"] for piece in pieces] == [True] * (len(pieces) - 1) + [False]


def test_a_client_that_does_not_take_its_reply_is_cut_off(short, served):
    answer = (200, "application/json", b'{"predictions": [' + b"1, " * 300_000 + b"1]}")
    aborted = []

    class Stuck(Client):
        transport = SimpleNamespace(abort=lambda: aborted.append(True))

        async def send(self, message):
            await super().send(message)
            if len(self.sent) == 3:
                await asyncio.Event().wait()

    async def score():
        async with application(short, served, body_timeout_s=0.1) as app:
            return await send(app, Stuck(IRIS))

    with worker(short / "w1", lambda *_: answer):
        assert len(run(score()).sent) == 3
    assert aborted == [True]


def test_a_client_that_leaves_within_its_body_gets_nothing(short, served):
    async def score():
        async with application(short, served) as app:
            client = Client(b"{", finished=False)
            client.leave()
            return await send(app, client)

    assert run(score()).sent == []


def test_a_client_that_leaves_while_held_frees_its_place(short):
    async def score():
        starting = routes(version(1, state=EntityState.LAUNCHING))
        async with application(short, starting, max_in_flight=1) as app:
            gone = Client(IRIS)
            request = asyncio.create_task(send(app, gone))
            while gone.taken < 1:
                await asyncio.sleep(0.001)
            assert (await send(app, Client(IRIS))).reply.status == 429
            gone.leave()
            await request
            publish(short / "routes.json", routes(version(1, worker_route(short / "w1"))))
            return gone, await send(app, Client(IRIS))

    with worker(short / "w1"):
        gone, later = run(score())
    assert gone.sent == []
    assert later.reply.status == 200


def test_a_client_that_leaves_while_scored_is_not_waited_for(short, served):
    release = threading.Event()

    async def score(server):
        async with application(short, served) as app:
            client = Client(IRIS)
            request = asyncio.create_task(send(app, client))
            while not server.seen:
                await asyncio.sleep(0.001)
            client.leave()
            return await request

    with worker(short / "w1", lambda *_: release.wait(10) and PREDICTED) as server:
        try:
            assert run(score(server)).sent == []
        finally:
            release.set()


def test_a_request_that_the_server_cancels_ends_as_cancelled(short):
    async def score():
        async with application(short, routes(version(1, state=EntityState.PENDING))) as app:
            client = Client(IRIS)
            request = asyncio.create_task(send(app, client))
            while client.taken < 1:
                await asyncio.sleep(0.001)
            request.cancel()
            with pytest.raises(asyncio.CancelledError):
                await request
            return client

    assert run(score()).sent == []


def test_a_held_request_is_answered_once_the_worker_is_there(short):
    async def score():
        async with application(short, routes(version(1, state=EntityState.LAUNCHING))) as app:
            client = Client(IRIS)
            request = asyncio.create_task(send(app, client))
            while client.taken < 1:
                await asyncio.sleep(0.001)
            publish(short / "routes.json", routes(version(1, worker_route(short / "w1"))))
            return await request

    with worker(short / "w1"):
        assert run(score()).reply.status == 200


def test_a_worker_that_crashes_again_and_again_is_502_and_a_slow_one_504(short):
    async def score(timeout_s):
        published = routes(version(1, worker_route(short / "w1")), timeout_s=timeout_s)
        async with application(short, published, overdue_grace_s=0) as app:
            return (await send(app, Client(IRIS))).reply.status

    with worker(short / "w1", lambda *_: None) as server:
        assert run(score(5.0)) == 502
        assert len(server.seen) == 3
    release = threading.Event()
    with worker(short / "w1", lambda *_: release.wait(10) and PREDICTED):
        assert run(score(0.05)) == 504
        release.set()


def test_a_worker_of_an_unknown_protocol_is_none(short):
    async def score():
        route = worker_route(short / "w1")
        other = type(route)("w1", "pigeon", str(short / "w1"), pid=1, started_ms=0, ready=True)
        async with application(short, routes(version(1, other)), hold_timeout_s=0.05) as app:
            return (await send(app, Client(IRIS))).reply.status

    assert run(score()) == 503


def test_blocking_access_is_asked_off_the_event_loop(short, served):
    class Access:
        def __init__(self, blocking):
            self.blocking = blocking
            self.threads = []

        def check(self, headers):
            return Check.TOKEN

        def refuse_guess(self, headers, address):
            return None

        def identify(self, headers, address=""):
            self.threads.append(threading.current_thread())
            return User("alice")

        def permission(self, user, workspace, name):
            return Permission.READ

        def recall(self, headers, workspace, name):
            return None

    async def score(access):
        async with application(short, served, access) as app:
            return (await send(app, Client(), "/model/iris/1/ping", "GET")).reply.status

    slow, quick = Access(blocking=True), Access(blocking=False)
    assert run(score(slow)) == run(score(quick)) == 200
    assert slow.threads != [threading.main_thread()]
    assert quick.threads == [threading.main_thread()]


@pytest.mark.parametrize("known", [Check.TOKEN, Check.KNOWN_PASSWORD])
def test_whoever_was_let_in_before_waits_for_no_guess(short, served, known):
    begun, checked = threading.Semaphore(0), threading.Event()

    class Access:
        blocking = True

        def check(self, headers):
            return Check.PASSWORD if "authorization" in headers else known

        def refuse_guess(self, headers, address):
            return None

        def identify(self, headers, address=""):
            if "authorization" in headers:
                begun.release()
                checked.wait(20)
            return User("alice")

        def permission(self, user, workspace, name):
            return Permission.READ

        def recall(self, headers, workspace, name):
            return None

    async def score():
        async with application(short, served, Access()) as app:
            ping = functools.partial(send, app, path="/model/iris/1/ping", method="GET")
            guesses = [asyncio.create_task(ping(Client(), headers=[(b"authorization", b"guess")])) for _ in range(40)]
            for _ in range(8):  # All threads for passwords are taken.
                assert await asyncio.to_thread(begun.acquire, timeout=20)
            reply = (await ping(Client(), headers=[])).reply
            waited = not any(guess.done() for guess in guesses)
            checked.set()
            await asyncio.gather(*guesses)
            return reply.status, waited

    assert run(score()) == (200, True)
