"""The end of a request whose body nobody has read."""

from __future__ import annotations

import asyncio
import contextlib
import io
import itertools
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest
from support import eventually

from mlflow_serving_plugin import connections
from mlflow_serving_plugin.connections import defer_accept, read_around, send_last

LAST = {"type": "http.response.body", "body": b"too large"}
CHUNK = {"type": "http.request", "body": b"x" * 1000, "more_body": True}
END = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


class Transport:
    aborted = False

    def abort(self):
        self.aborted = True


class Cycle:
    """What uvicorn gives an app: ``send`` is a method of an object with the transport."""

    def __init__(self, *messages):
        self.messages = list(messages)
        self.transport = Transport()
        self.sent = []

    async def receive(self):
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)

    async def send(self, message):
        self.sent.append((message.get("body", b""), message.get("more_body", False), len(self.messages)))


def run(cycle):
    asyncio.run(send_last(cycle.receive, cycle.send, LAST))
    return cycle


@pytest.mark.parametrize("end", [END, GONE])
def test_the_answer_goes_first_and_ends_when_the_client_has_sent_all_or_has_left(end):
    cycle = run(Cycle(CHUNK, CHUNK, end))
    assert cycle.sent == [(b"too large", True, 3), (b"", False, 0)]
    assert not cycle.transport.aborted


@pytest.mark.parametrize("limit", ["_MOST_BYTES", "_LONGEST_S", "_PAUSE_S"])
def test_a_client_that_never_ends_is_cut_off(monkeypatch, limit):
    monkeypatch.setattr(connections, limit, 5000 if limit == "_MOST_BYTES" else 0.01)
    cycle = run(Cycle(*([CHUNK] * 10 if limit == "_MOST_BYTES" else [CHUNK])))
    assert [body for body, _, _ in cycle.sent] == [b"too large"]
    assert cycle.transport.aborted


class Answer(list):
    closed = False

    def close(self):
        self.closed = True


class Response:
    """What gunicorn gives an app: ``start_response`` is a method of the response."""

    closes = False

    def start_response(self, status, headers):
        pass

    def force_close(self):
        self.closes = True


def test_under_gunicorn_a_long_rest_is_read_after_the_answer_and_the_connection_closed():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body, reply, response = io.BytesIO(b"x" * 1_000_000), Answer([b"too", b"large"]), Response()
        environ = {"gunicorn.socket": ours, "wsgi.input": body}
        chunks = iter(read_around(reply, environ, response.start_response))
        assert (next(chunks), response.closes, next(chunks)) == (b"too", True, b"large")
        assert body.tell() < 500_000
        assert list(chunks) == []
        assert (body.tell(), reply.closed, ours.gettimeout()) == (1_000_000, True, None)


def test_under_gunicorn_a_short_rest_is_read_before_the_answer_and_the_connection_kept():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        body, response = io.BytesIO(b"x" * 100_000), Response()
        chunks = iter(read_around([b"no"], {"gunicorn.socket": ours, "wsgi.input": body}, response.start_response))
        assert (next(chunks), body.tell(), response.closes) == (b"no", 100_000, False)


def test_under_gunicorn_a_client_that_pauses_for_too_long_is_cut_off(monkeypatch):
    monkeypatch.setattr(connections, "_PAUSE_S", 0.01)
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as body:
        environ = {"gunicorn.socket": ours, "wsgi.input": body}
        assert list(read_around([b"too large"], environ, Response().start_response)) == [b"too large"]
        assert theirs.recv(1) == b""


def test_under_gunicorn_clients_that_send_no_body_hold_few_threads(monkeypatch):
    monkeypatch.setattr(connections, "_PAUSE_S", 60.0)
    monkeypatch.setattr(connections, "_LONGEST_IN_A_THREAD_S", 60.0)
    pairs = [socket.socketpair() for _ in range(8)]
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        for end in itertools.chain(*pairs):
            stack.enter_context(end)

        def refuse(ours):
            environ = {"gunicorn.socket": ours, "wsgi.input": SimpleNamespace(read=ours.recv)}
            return list(read_around([b"no"], environ, Response().start_response))

        answered = [pool.submit(refuse, ours) for ours, _ in pairs]
        eventually(lambda: sum(answer.done() for answer in answered) == 8 - connections._WAITING_THREADS)
        # Requests whose body has been read are answered as ever.
        whole = {"gunicorn.socket": pairs[0][0], "wsgi.input": io.BytesIO(b"")}
        response = Response()
        assert (list(read_around([b"yes"], whole, response.start_response)), response.closes) == ([b"yes"], False)
        for _, theirs in pairs:
            theirs.close()
        assert [answer.result(30) for answer in answered] == [[b"no"]] * 8


@pytest.mark.skipif(not hasattr(socket, "TCP_DEFER_ACCEPT"), reason="Linux")
def test_the_kernel_keeps_a_connection_until_its_client_has_sent_something():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        before = psutil.Process().num_fds()
        defer_accept()
        assert psutil.Process().num_fds() == before
        with (
            socket.create_connection(listener.getsockname()) as silent,
            socket.create_connection(listener.getsockname()) as speaks,
        ):
            speaks.sendall(b"G")
            listener.settimeout(10)
            accepted, address = listener.accept()
            accepted.close()
            assert address == speaks.getsockname()
            listener.settimeout(0.1)
            with pytest.raises(TimeoutError):
                listener.accept()
            assert silent.fileno() > 0


def test_other_servers_have_read_the_body_before():
    reply = Answer([b"too large"])
    assert read_around(reply, {"wsgi.input": io.BytesIO(b"x")}, Response().start_response) is reply
