"""Which exchanges are logged, and what of them."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote

import pytest
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker_route

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.request_log import LogRoots
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.messages import Head, Piece, ReadBody, TakeEvents
from mlflow_serving_plugin.gateway.request_log import RequestLog
from mlflow_serving_plugin.links.base import WorkerCall, WorkerReply
from mlflow_serving_plugin.settings import Settings


class Logged:
    """A gateway with a log, which keeps what comes to the queue."""

    def __init__(self, root: Path, given: dict, roots: str = "/logs") -> None:
        published = routes(version(1, worker_route(root / "w1")))
        ((key, endpoint),) = published.endpoints.items()
        endpoint = replace(endpoint, config=replace(endpoint.config, request_log=given))
        published = replace(published, endpoints={key: endpoint})
        self.entries: list = []
        log = RequestLog(LogRoots.of(roots, "/default"), self)
        self.gateway = Gateway(
            Settings(),
            snapshot(root / "routes.json", published),
            NoAuth(),
            HostServices(root / "nudge"),
            observers=(log,),
        )

    def put(self, label, record) -> None:
        self.entries.append((label, record))

    def send(self, path="/model/iris/1/invocations", method="POST", body=IRIS, reply=PREDICTED, **headers) -> int:
        names = {"content-type": "application/json", "x-request-id": "r1", **headers}
        steps = self.gateway.respond(Head(method, path, names))
        try:
            step = next(steps)
            while True:
                step = steps.send(body if isinstance(step, ReadBody) else WorkerReply(*reply))
        except StopIteration as stop:
            return stop.value.status

    def stream(self, *events: bytes, leaves_after: int = 99) -> bytes:
        """What a client of a stream gets, which leaves after so many pieces."""
        left = [[event] for event in events] + [[]]
        steps = self.gateway.respond(Head("POST", "/model/iris/1/invocations", {"content-type": "application/json"}))
        body = IRIS[:-1] + b', "stream": true}'
        stream = SimpleNamespace(close=lambda: None)
        answers = {ReadBody: lambda: body, TakeEvents: lambda: left.pop(0)}
        calls = {WorkerCall: lambda: WorkerReply(200, "text/event-stream", stream)}
        pieces = _drive(steps, answers | calls).body
        sent: list[bytes] = []
        with contextlib.suppress(ClientLeftError):
            _drive(pieces.steps(), answers | {Piece: lambda: _leave(len(sent) >= leaves_after)}, sent)
        pieces.close()
        return b"".join(sent)


class ClientLeftError(Exception):
    pass


def _leave(leaves: bool) -> None:
    if leaves:
        raise ClientLeftError


def _drive(steps, answers, sent=None):
    """Take steps; what they return."""
    answer = None
    try:
        while True:
            step = steps.send(answer)
            answer = answers[type(step)]()
            if isinstance(step, Piece):
                sent.append(step.body)
    except StopIteration as stop:
        return stop.value


def test_an_endpoint_without_a_log_logs_nothing(short) -> None:
    for given in ({}, {"enabled": False}, {"enabled": True, "sampling_fraction": 0}):
        logged = Logged(short, given)
        assert logged.send() == 200
        assert logged.entries == []


def test_a_request_is_logged_with_both_bodies_as_client_and_server_sent_them(short) -> None:
    logged = Logged(short, {"enabled": True, "redact": ["name"]})
    logged.send(**{"x-client-request-id": "c1"})
    ((label, record),) = logged.entries
    assert (label.endpoint_id, label.place, label.redact) == ("e1", "/logs/default/iris", ("name",))
    assert (record.request_id, record.client_request_id, record.status, record.entity) == ("r1", "c1", 200, "1")
    assert (record.request, record.response) == (IRIS, PREDICTED[2])


def test_errors_of_the_model_are_logged_and_other_paths_are_not(short) -> None:
    logged = Logged(short, {"enabled": True})
    assert logged.send(reply=(500, "application/json", b'{"error_code": "BAD_REQUEST", "message": "no"}')) >= 400
    assert logged.send(path="/model/iris/1/ping", method="GET") == 200
    assert logged.send(path="/model/nosuch/1/invocations") == 404
    ((_, record),) = logged.entries
    assert record.status >= 400
    assert b"error_code" in record.response


def test_long_bodies_are_left_out_with_a_code(short) -> None:
    logged = Logged(short, {"enabled": True, "max_payload_bytes": 10})
    logged.send()
    ((_, record),) = logged.entries
    assert (record.request, record.response) == (None, None)
    assert record.codes == ("MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED")


def test_the_answer_of_a_stream_is_the_text_of_its_events(short) -> None:
    logged = Logged(short, {"enabled": True})
    sent = logged.stream(b'{"n": 0}', b'{"n": 1}')
    assert sent == b'data: {"n": 0}\n\ndata: {"n": 1}\n\ndata: [DONE]\n\n'
    logged.stream(b'{"n": 0}', b'{"n": 1}', leaves_after=1)
    long = Logged(short, {"enabled": True, "max_payload_bytes": 100})
    long.stream(*[b'{"n": 0}'] * 20)
    off = Logged(short, {"enabled": False})
    off.stream(b'{"n": 0}')
    (whole, cut), (left_out,) = ([record for _, record in one.entries] for one in (logged, long))
    assert (whole.status, whole.response, whole.codes) == (200, sent, ())
    assert (cut.status, cut.response) == (499, sent.removesuffix(b"data: [DONE]\n\n"))
    assert (left_out.response, left_out.codes[-1:]) == (None, ("MAX_RESPONSE_SIZE_EXCEEDED",))
    assert off.entries == []


def test_a_place_that_the_operator_no_longer_names_gets_nothing(short, caplog) -> None:
    logged = Logged(short, {"enabled": True, "location": "/elsewhere"})
    assert logged.send() == 200
    assert logged.entries == []
    assert "not below the server's roots" in caplog.text


@pytest.mark.parametrize(
    ("roots", "location", "place"),
    [
        ("/logs", "", "/logs/default/iris"),
        ("/logs/, s3://b/p?region=x", "s3://b/p/q", "s3://b/p/q/default/iris?region=x"),
        ("/logs", "/logs/../etc", None),
        ("/logs", "/logs2", None),
        ("/logs", "file:///logs/a//b/", "/logs/a/b/default/iris"),
        ("/logs", "s3://logs", None),
        ("s3://b/p", "s3://b/p2", None),
        ("s3://b/p", "s3://b/p?endpoint_override=evil", None),
        ("/logs", "relative", None),
        ("abfss://c@a.net/p", "abfss://c@a.net/p/q", "abfss://c@a.net/p/q/default/iris"),
        ("abfss://c@a.net/p", "abfss://c@b.net/p/q", None),
        ("s3://b/p", "s3://b/p/%2e%2e/q", None),
        ("s3://b/p", "s3://b/p%2F..%2Fq", None),
        ("s3://b/p", "s3://b/p/%252e%252e/q", "s3://b/p/%252e%252e/q/default/iris"),
        ("s3://b/my%20logs", "s3://b/my logs/für 5%", "s3://b/my%20logs/f%C3%BCr%205%25/default/iris"),
    ],
)
def test_a_log_is_below_a_root_in_a_directory_of_its_endpoint(roots, location, place) -> None:
    found = LogRoots.of(roots, "/default").place_of(location, "default", "iris", serving=False)
    if "?endpoint" in location:
        assert found is None or "evil" not in found
    else:
        assert found == place


def test_names_of_models_cannot_lead_out_of_the_root() -> None:
    roots = LogRoots.of("", "/default")
    places = {roots.place_of("", "default", name, serving=False) for name in ("..", ".", "a/b", "a%2Fb", "a")}
    assert places == {
        "/default/default/%2E%2E",
        "/default/default/%2E",
        "/default/default/a%2Fb",
        "/default/default/a%252Fb",
        "/default/default/a",
    }
    assert roots.place_of("", "default", "a", serving=True) == "/default/default/serving-endpoints/a"


def test_names_of_models_are_directories_below_a_store_for_who_unquotes_its_uri() -> None:
    roots = LogRoots.of("s3://b/logs?region=x", "/default")
    names = ("..", ".", "a/../b", "a%2Fb", "%2E%2E", "fünf %", "a")
    places = [unquote(roots.place_of("", "default", name, serving=False) or "").partition("?")[0] for name in names]
    assert len(set(places)) == len(names)
    for place in places:
        assert place.startswith("s3://b/logs/default/")
        assert len(place.split("/")) == 6
        assert place.rpartition("/")[2] not in (".", "..")
