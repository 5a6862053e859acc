"""The WSGI application end to end: environs in front, a real HTTP worker behind."""

from __future__ import annotations

import io
import json
import socket
from types import SimpleNamespace

import pytest
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker, worker_route

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
from mlflow_serving_plugin.settings import Settings

URL = "/model/iris/1/invocations"


class Stream(io.BytesIO):
    """Counts what is read of it."""

    taken = 0

    def read(self, size=-1):
        chunk = super().read(size)
        self.taken += len(chunk)
        return chunk


class BrokenStream:
    def read(self, size=-1):
        raise RuntimeError("client gone")


@pytest.fixture
def make(short):
    made = []

    def application(published=None, **settings):
        published = published or routes(version(1, worker_route(short / "w1")))
        reader = snapshot(short / "routes.json", published)
        made.append(WsgiGateway(Gateway(Settings(**settings), reader, NoAuth(), HostServices(short / "nudge"))))
        return made[-1]

    yield application
    for app in made:
        app.close()


def send(app, body=IRIS, path=URL, method="POST", *, stream=None, length=True, **environ):
    stream = stream or Stream(body)
    environ = {
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": "application/json",
        "wsgi.input": stream,
        **({"CONTENT_LENGTH": str(len(body))} if length is True else {}),
        **environ,
    }
    started = []
    chunks = app(environ, lambda status, headers: started.append((status, dict(headers))), path)
    status, headers = started[0]
    return SimpleNamespace(status=status, headers=headers, body=b"".join(chunks), stream=stream)


def test_a_request_goes_through(make, short):
    with worker(short / "w1") as server:
        app = make()
        reply = send(app, HTTP_X_REQUEST_ID="r1")
        assert send(app).status == "200 OK"
    assert (reply.status, reply.body) == ("200 OK", PREDICTED[2])
    assert reply.headers["X-Request-Id"] == "r1"
    assert server.seen[0] == ("application/json", IRIS)
    assert len(server.connections) == 1


def test_a_declared_body_over_the_limit_is_not_read(make):
    reply = send(make(max_body_bytes=10))
    # Python 3.13 has other words for 413.
    assert (reply.status[:4], reply.stream.taken) == ("413 ", 0)


def test_an_undeclared_body_over_the_limit_is_not_read_on(make):
    reply = send(make(max_body_bytes=10), b"x" * 1_000_000, length=False, **{"wsgi.input_terminated": True})
    assert reply.status.startswith("413")
    assert reply.stream.taken < 100_000


def test_a_chunked_body_is_read_where_the_server_ends_it(make, short):
    with worker(short / "w1") as server:
        terminated = {"wsgi.input_terminated": True, "HTTP_TRANSFER_ENCODING": "chunked"}
        assert send(make(), length=False, **terminated).status == "200 OK"
        assert server.seen[0][1] == IRIS
    assert send(make(), length=False, HTTP_TRANSFER_ENCODING="chunked").status.startswith("400")


@pytest.mark.parametrize(
    "environ", [{"CONTENT_LENGTH": "99"}, {"CONTENT_LENGTH": "-5"}, {"CONTENT_LENGTH": "x"}, {"stream": BrokenStream()}]
)
def test_a_body_that_breaks_off_or_lies_of_its_length_is_a_bad_request(make, environ):
    assert send(make(), **environ).status == "400 Bad Request"


def test_no_body_and_no_length_do_not_wait_for_one(make):
    assert send(make(), length=False, CONTENT_TYPE="application/json; format=pandas-records").status.startswith("400")


def test_names_beyond_ascii_are_understood(make):
    assert "größe" in json.loads(send(make(), path="/model/größe ✓/1/invocations").body)["message"]
    assert send(make(), path="/model/\xff/1/invocations").status == "404 Not Found"


def test_a_held_request_is_given_up_in_time(make):
    app = make(routes(version(1, state=EntityState.PENDING)), hold_timeout_s=0.1)
    reply = send(app, SERVER_SOFTWARE="gunicorn/26")
    assert reply.status == "503 Service Unavailable"
    assert int(reply.headers["Retry-After"]) > 0


def test_a_missing_worker_is_503_and_a_crashing_one_502(make, short):
    assert send(make(hold_timeout_s=0.1)).status.startswith("503")
    with worker(short / "w1", lambda *_: None):
        assert send(make()).status == "502 Bad Gateway"


def test_ping_and_head(make):
    asked = send(make(), path="/model/iris/1/ping", method="GET")
    assert (asked.status, asked.body) == ("200 OK", b"\n")
    reply = send(make(), path="/model/iris/1/ping", method="HEAD")
    assert (reply.status, reply.headers["Content-Length"], reply.body) == ("200 OK", "1", b"")


def test_a_client_that_pauses_within_its_body_holds_no_thread_of_gunicorn(make):
    ours, theirs = socket.socketpair()
    with ours, theirs, ours.makefile("rb") as stream:
        theirs.sendall(b'{"a"')
        reply = send(make(body_timeout_s=0.1), stream=stream, **{"gunicorn.socket": ours})
        assert reply.status.startswith("400"), reply.body
        assert ours.gettimeout() is None
