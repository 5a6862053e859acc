"""The core without a server: its steps are answered by hand, on a clock of the test's own."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker_route

from mlflow_serving_plugin.access.base import Check, Permission, User
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.errors import DeadlineError, UnauthenticatedError
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.messages import Head, Pause, ReadBody, RunBlocking
from mlflow_serving_plugin.host.messages import Inbox, Lost, Wake
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.links.base import LostError, WorkerCall, WorkerReply
from mlflow_serving_plugin.settings import Settings

JSON_HEADERS = {"content-type": "application/json"}
LEGACY_HEADERS = {"content-type": "application/json; format=pandas-records"}
URL = "/model/iris/1/invocations"


class Guarded:
    """Lets only alice in, and only to read."""

    blocking = True

    def check(self, headers):
        return Check.PASSWORD

    def refuse_guess(self, headers, address):
        return None

    def identify(self, headers, address=""):
        if "authorization" not in headers:
            raise UnauthenticatedError("Who are you?")
        return User(headers["authorization"])

    def permission(self, user, workspace, name):
        return Permission.READ if user.name == "alice" else Permission.NONE

    def recall(self, headers, workspace, name):
        return None


class Bench:
    """A gateway whose steps are taken here. ``workers`` gives the results of calls, in turn."""

    def __init__(self, directory, published, access=None, observers=(), rules=None, **settings):
        self.path = directory / "routes.json"
        self.now = 0.0
        self.calls: list[WorkerCall] = []
        self.paused_s = 0.0
        self.on_pause = lambda: None
        self.read = False
        self.nudges = directory / "nudge"
        self.gateway = Gateway(
            Settings(**settings),
            snapshot(self.path, published),
            access or NoAuth(),
            HostServices(self.nudges),
            browser_rules=rules,
            observers=observers,
            clock=lambda: self.now,
        )

    def send(self, path=URL, method="POST", headers=JSON_HEADERS, body=IRIS, workers=(PREDICTED,), **head):
        steps = self.gateway.respond(Head(method, path, headers, **head))
        results = list(workers)
        try:
            step = next(steps)
            while True:
                outcome = self._take(step, body, results)
                step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
        except StopIteration as stop:
            reply = stop.value
        names = {name.lower(): value for name, value in reply.headers}
        is_json = names.get("content-type") == "application/json" and reply.body.startswith((b"{", b"["))
        return SimpleNamespace(
            status=reply.status,
            headers=names,
            body=reply.body,
            json=json.loads(reply.body) if is_json else None,
            after=reply.after,
        )

    def _take(self, step, body, results):
        if isinstance(step, ReadBody):
            self.read = True
            return body
        if isinstance(step, Pause):
            self.now += step.seconds
            self.paused_s += step.seconds
            self.on_pause()
            return None
        if isinstance(step, RunBlocking):
            try:
                return step.function()
            except Exception as error:
                return error
        self.calls.append(step)
        result = results.pop(0)
        self.now += 1.0
        return WorkerReply(*result) if isinstance(result, tuple) else result


@pytest.fixture
def bench(short):
    def make(*versions, access=None, observers=(), rules=None, settings=None, **kwargs):
        return Bench(short, routes(*versions, **kwargs), access, observers, rules, **(settings or {}))

    return make


@pytest.fixture
def ready(short):
    return version(1, worker_route(short / "w1"))


@pytest.mark.parametrize("root", ["model", "model-endpoint", "ajax-model"])
@pytest.mark.parametrize("reference", ["iris/1", "iris/None", "iris/latest", "iris@champion"])
def test_every_reference_scores(bench, ready, root, reference):
    reply = bench(ready, aliases={"champion": 1}).send(f"/{root}/{reference}/invocations")
    assert (reply.status, reply.body) == (200, PREDICTED[2])
    assert reply.headers["x-mlflow-model-version"] == "1"
    assert reply.headers["content-length"] == str(len(PREDICTED[2]))


def test_the_time_of_each_phase_is_told_in_ms(bench, ready):
    timing = bench(ready).send().headers["server-timing"]
    assert [part.split(";")[0] for part in timing.split(", ")] == ["auth", "queue", "decode", "predict", "encode"]
    assert "predict;dur=1000.000" in timing


@pytest.mark.parametrize(
    "given, kept", [("abc-1", True), ("", False), ("a b", False), ("x" * 129, False), ("é", False)]
)
def test_a_request_id_is_echoed_when_it_is_harmless(bench, ready, given, kept):
    found = bench(ready).send(headers={**JSON_HEADERS, "x-request-id": given}).headers["x-request-id"]
    assert (found == given) is kept
    assert kept or len(found) == 32


def test_a_legacy_request_is_rewrapped_and_its_reply_unwrapped(bench, ready):
    made = bench(ready)
    reply = made.send(headers=LEGACY_HEADERS, body=b'[{"a": 1}]')
    assert reply.json == [0, 1]
    assert made.calls[0].body == b'{"dataframe_records": [{"a": 1}]}'


def test_bare_nan_never_leaves(bench, ready):
    assert bench(ready).send(workers=[(200, "application/json", b'{"predictions": [NaN]}')]).json == {
        "predictions": [None]
    }


@pytest.mark.parametrize(
    "path, status, says",
    [
        ("/model/other/1/invocations", 404, "not enabled"),
        ("/model/iris/2/invocations", 404, "versions 1"),
        ("/model/iris@gone/invocations", 404, "versions 1"),
        ("/model/iris/" + "9" * 100 + "/invocations", 404, "not served"),
        ("/model/iris/" + "9" * 5000 + "/invocations", 404, "too long"),
        ("/model/iris/1", 404, "invocations"),
        ("/model/my iris/invocations", 404, "or /model/my%20iris/latest/invocations"),
        ("/model/iris/invocations", 404, "or /model/iris/latest/invocations"),
        ("/model/iris/1/explain", 404, "names no model version"),
        ("/model/", 404, "names no model version"),
        ("/model", 404, "names no model version"),
        ("/model//1/invocations", 404, "names no model version"),
        ("/elsewhere/iris/1/invocations", 404, "below /model/"),
    ],
)
def test_what_is_not_served_is_not_found(bench, ready, path, status, says):
    made = bench(ready)
    reply = made.send(path)
    assert (reply.status, reply.json["error_code"]) == (status, "RESOURCE_DOES_NOT_EXIST")
    assert says in reply.json["message"]
    assert "x-request-id" in reply.headers
    assert not made.read


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"])
def test_other_methods_are_told_the_right_one(bench, ready, method):
    reply = bench(ready).send(method=method)
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert bool(reply.body) is (method != "HEAD")


@pytest.mark.parametrize("action", ["ping", "health", "version", "schema"])
@pytest.mark.parametrize("reference", ["iris/1", "iris/None", "iris/latest", "iris@champion"])
def test_head_is_get_without_the_body_and_a_slash_at_the_end_changes_nothing(bench, ready, action, reference, tmp_path):
    (tmp_path / "MLmodel").write_text("flavors: {}")
    made = bench(replace(ready, model_dir=str(tmp_path), mlflow_version="2.2.0"), aliases={"champion": 1})
    assert action != "version" or made.send(f"/model/{reference}/version", "GET").body == b"2.2.0"
    for slash in ("", "/"):
        url = f"/model/{reference}/{action}{slash}"
        asked, headed = (made.send(url, method, {"accept-encoding": "gzip"}) for method in ("GET", "HEAD"))
        assert (asked.status, bool(asked.body), headed.body) == (200, True, b"")
        for name in ("content-type", "content-length", "content-encoding", "vary", "x-mlflow-model-version"):
            assert asked.headers.get(name) == headed.headers.get(name)
        assert asked.headers["content-length"] == str(len(asked.body))
    assert made.send(f"/model/{reference}/{action}", "POST").headers["allow"] == "GET, HEAD"


def test_the_version_of_mlflow_is_not_known_before_the_environment_is_there(bench):
    reply = bench(version(1, state=EntityState.BUILDING, message="building")).send("/model/iris/1/version", "GET")
    assert (reply.status, "building" in reply.json["message"]) == (503, True)


LONG = (200, "application/json", b'{"predictions": [' + b"1.5, " * 60_000 + b"0]}")


@pytest.mark.parametrize("encoding, undo", [("gzip", gzip.decompress), ("deflate", zlib.decompress)])
@pytest.mark.parametrize("count", [400, 60_000])
def test_a_long_answer_is_compressed_for_a_client_that_accepts_it(bench, ready, encoding, undo, count):
    worker_answer = (200, "application/json", b'{"predictions": [' + b"1.5, " * count + b"0]}")
    reply = bench(ready).send(headers={**JSON_HEADERS, "accept-encoding": encoding}, workers=[worker_answer])
    assert (reply.headers["content-encoding"], reply.headers["vary"]) == (encoding, "Accept-Encoding")
    assert undo(reply.body) == worker_answer[2]
    assert int(reply.headers["content-length"]) == len(reply.body) < len(worker_answer[2]) // 10


@pytest.mark.parametrize(
    "accept, workers", [(None, LONG), ("gzip;q=0", LONG), ("identity", LONG), ("br", LONG), ("gzip", PREDICTED)]
)
def test_short_answers_and_those_of_other_clients_are_plain(bench, ready, accept, workers):
    headers = JSON_HEADERS if accept is None else {**JSON_HEADERS, "accept-encoding": accept}
    reply = bench(ready).send(headers=headers, workers=[workers])
    assert "content-encoding" not in reply.headers
    assert reply.body == workers[2]


@pytest.mark.parametrize("encoding, squeeze", [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_a_compressed_body_is_scored_as_the_plain_one(bench, ready, encoding, squeeze):
    made = bench(ready)
    assert made.send(headers={**JSON_HEADERS, "content-encoding": encoding}, body=squeeze(IRIS)).status == 200
    assert made.calls[0].body == IRIS


def test_the_limit_of_a_body_counts_after_decompression_and_its_memory_is_given_back(bench, ready):
    made = bench(ready, settings={"max_body_bytes": 200_000})
    headers = {**JSON_HEADERS, "content-encoding": "gzip"}
    assert made.send(headers=headers, body=gzip.compress(bytes(300_000))).status == 413
    assert made.send(headers=headers, body=gzip.compress(b" " * 150_000 + IRIS)).status == 200
    assert made.gateway.memory.taken == 0


def test_an_allowed_page_may_read_every_answer_and_is_told_so_before(bench, ready):
    rules = BrowserRules(lambda _: True, lambda origin: origin == "http://app.example", bearer_exempt=False)
    made = bench(ready, rules=rules)
    headers = {**JSON_HEADERS, "origin": "http://app.example"}
    for url in (URL, "/model/nothing/1/invocations", "/model/"):
        asked = made.send(url, "OPTIONS", {**headers, "access-control-request-method": "POST"})
        assert (asked.status, asked.headers["access-control-allow-origin"]) == (200, "http://app.example")
        replies = [made.send(url, method, headers) for method in ("POST", "GET")]
        assert {reply.headers["access-control-allow-origin"] for reply in replies} == {"http://app.example"}
    other = made.send(URL, "OPTIONS", {"origin": "http://evil.example", "access-control-request-method": "POST"})
    assert [name for name in other.headers if name.startswith("access-control")] == []


def test_callers_are_checked_before_anything_is_told(bench, ready):
    made = bench(ready, access=Guarded())
    reply = made.send()
    assert (reply.status, "www-authenticate" in reply.headers) == (401, True)
    reply = made.send(headers={**JSON_HEADERS, "authorization": "bob"})
    assert (reply.status, reply.json["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")
    unknown = made.send("/model/unknown/1/invocations", headers={"authorization": "alice"})
    assert (unknown.status, unknown.json["message"].replace("unknown", "iris")) == (404, reply.json["message"])
    assert not made.read
    assert made.send(headers={**JSON_HEADERS, "authorization": "alice"}).status == 200


@pytest.mark.parametrize(
    "headers, status",
    [
        ({}, 415),
        ({"content-type": "text/plain"}, 415),
        ({**JSON_HEADERS, "content-encoding": "br"}, 415),
        ({**JSON_HEADERS, "content-length": "999999999"}, 413),
        ({**JSON_HEADERS, "content-length": "-1"}, 400),
        ({**JSON_HEADERS, "x-mlflow-scoring-dialect": "v2"}, 400),
    ],
)
def test_headers_that_rule_a_request_out_do_so_before_its_body_is_read(bench, ready, headers, status):
    made = bench(ready)
    reply = made.send(headers=headers)
    assert (reply.status, made.read) == (status, False)
    assert reply.headers["x-mlflow-model-version"] == "1"
    assert reply.headers["content-type"].startswith("text/plain") is (status == 415)


def test_a_starting_version_holds_its_requests_until_it_is_ready(bench, ready, short):
    made = bench(version(1, state=EntityState.LAUNCHING, message="loading"))
    made.on_pause = lambda: made.paused_s > 3 and publish(made.path, routes(ready))
    reply = made.send()
    assert reply.status == 200
    assert 3 < made.paused_s < 3.1
    assert f"queue;dur={made.paused_s * 1000:.3f}" in reply.headers["server-timing"]


@pytest.mark.parametrize("state", ["PENDING", "BUILDING", "LAUNCHING", "READY"])
def test_a_version_that_does_not_get_ready_in_time_is_unavailable(bench, state):
    made = bench(version(1, state=EntityState(state), message="fetching files"))
    reply = made.send()
    assert (reply.status, reply.json["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    assert "fetching files" in reply.json["message"]
    assert int(reply.headers["retry-after"]) > 0
    assert made.paused_s == pytest.approx(30, abs=0.01)


def test_a_driver_that_cannot_wait_caps_the_hold(bench):
    made = bench(version(1, state=EntityState.PENDING))
    assert made.send(hold_cap_s=20.0).status == 503
    assert made.paused_s == pytest.approx(20, abs=0.01)


def test_in_the_legacy_dialect_not_ready_yet_is_404_with_the_same_body(bench):
    made = bench(version(1, state=EntityState.LAUNCHING, message="Loading the model."))
    modern, legacy = made.send(), made.send(body=b"[]")
    assert (modern.status, legacy.status) == (503, 404)
    assert modern.json == legacy.json


def test_legacy_clients_that_poll_on_404_are_told_that_a_version_has_failed(bench):
    made = bench(version(1, state=EntityState.FAILED, message="no such file"))
    modern, legacy = made.send(), made.send(body=b"[]")
    assert (modern.status, legacy.status) == (503, 503)
    assert modern.json == legacy.json


@pytest.mark.parametrize("path", ["/model/iris/1/invocations", "/model/iris/latest/invocations"])
def test_a_version_that_drains_gets_nothing_new_and_its_successor_does(bench, short, path):
    leaving = version(1, worker_route(short / "w1"), state=EntityState.DRAINING)
    made = bench(leaving, version(2, worker_route(short / "w2", "w2")))
    assert made.send(path).status == (404 if "/1/" in path else 200)
    assert {call.worker.worker_id for call in made.calls} <= {"w2"}


def test_a_failed_version_answers_at_once_with_its_reason(bench):
    made = bench(version(1, state=EntityState.FAILED, message="no module named x"))
    reply = made.send()
    assert (reply.status, made.paused_s) == (503, 0)
    assert "no module named x" in reply.json["message"]


def test_a_version_that_goes_away_while_its_requests_are_held_is_not_found(bench):
    made = bench(version(1, state=EntityState.PENDING))
    made.on_pause = lambda: publish(made.path, routes())
    assert made.send().status == 404


@pytest.mark.parametrize("state", ["PENDING", "FAILED", "DRAINING"])
def test_a_held_request_follows_its_alias_to_a_version_that_can_score(bench, short, state):
    made = bench(version(1, state=EntityState.PENDING), aliases={"champion": 1})
    new = version(2, worker_route(short / "w2", "w2"))
    moved = routes(version(1, state=EntityState(state)), new, aliases={"champion": 2})
    made.on_pause = lambda: publish(made.path, moved)
    reply = made.send("/model/iris@champion/invocations")
    assert (reply.status, reply.headers["x-mlflow-model-version"]) == (200, "2")


def test_a_request_counts_in_flight_where_it_is_answered(bench, short):
    starting = version(1, state=EntityState.PENDING)
    made = bench(starting, aliases={"champion": 1}, settings={"max_in_flight": 1})
    steps = made.gateway.respond(Head("POST", "/model/iris@champion/invocations", JSON_HEADERS))
    assert isinstance(next(steps), ReadBody)
    step = steps.send(IRIS)
    publish(made.path, routes(starting, version(2, worker_route(short / "w2", "w2")), aliases={"champion": 2}))
    while isinstance(step, Pause):
        step = steps.send(None)
    assert step.worker.worker_id == "w2"
    assert made.send("/model/iris/2/invocations").status == 429
    assert made.send("/model/iris/1/invocations", hold_cap_s=0.0).status == 503
    steps.close()
    assert made.send("/model/iris/2/invocations").status == 200


def test_a_chosen_version_answers_though_its_alias_moves_while_its_body_is_read(bench, ready, short):
    made = bench(ready, aliases={"champion": 1})
    steps = made.gateway.respond(Head("POST", "/model/iris@champion/invocations", JSON_HEADERS))
    assert isinstance(next(steps), ReadBody)
    publish(made.path, routes(ready, version(2, worker_route(short / "w2", "w2")), aliases={"champion": 2}))
    assert steps.send(IRIS).worker.worker_id == "w1"
    steps.close()


def test_observers_see_the_whole_exchange_once_it_has_ended(bench, ready):
    ended = []
    made = bench(ready, access=Guarded(), observers=(ended.append,))
    made.send(headers={**LEGACY_HEADERS, "authorization": "alice"}, body=b'[{"a": 1}]')
    (exchange,) = ended
    assert exchange.caller.name == "alice"
    assert (exchange.choice.version, exchange.choice.endpoint.name) == ("1", "iris")
    assert exchange.request.body == b'{"dataframe_records": [{"a": 1}]}'
    assert (exchange.answer.body, exchange.reply.body) == (PREDICTED[2], b"[0, 1]")
    assert (exchange.status, exchange.took_s, exchange.predict_s) == (200, 1.0, 1.0)
    made.send(headers={**JSON_HEADERS, "authorization": "bob"})
    assert (ended[1].status, ended[1].caller, ended[1].choice) == (404, None, None)


def test_an_observer_that_fails_harms_neither_the_request_nor_other_observers(bench, ready, caplog):
    ended = []

    def fail(exchange):
        raise RuntimeError("the disk is full")

    assert bench(ready, observers=(fail, ended.append)).send().status == 200
    assert len(ended) == 1
    assert "the disk is full" in caplog.text


def test_a_host_that_knows_nothing_yet_holds_too(short, ready):
    made = Bench(short, Routes())
    made.on_pause = lambda: publish(made.path, routes(ready))
    assert made.send().status == 200
    assert made.send("/model/other/1/invocations").status == 404


def test_a_worker_lost_before_sending_costs_the_request_nothing(bench, short):
    made = bench(version(1, worker_route(short / "w1"), worker_route(short / "w2", "w2")))
    assert made.send(workers=[LostError("refused", sent=False), PREDICTED]).status == 200
    assert {call.worker.worker_id for call in made.calls} == {"w1", "w2"}
    assert made.paused_s == 0


def test_a_lost_only_worker_is_tried_again_after_a_pause_and_reported(bench, ready):
    made = bench(ready)
    inbox = Inbox(made.nudges)
    losses = [LostError("refused", sent=False)] * 5
    assert made.send(workers=[*losses, PREDICTED]).status == 200
    assert made.paused_s == pytest.approx(5 * 0.025)
    assert set(inbox.wait(1)) == {Lost("w1", in_hand=False), Wake("e1", "1")}
    inbox.close()


def test_a_worker_that_no_request_reaches_is_told_of_once_until_it_answers_again(bench, short, caplog):
    caplog.set_level("INFO")
    made = bench(version(1, worker_route(short / "w1"), worker_route(short / "w2", "w2")))
    silent = LostError("its node gives no sign of life", sent=False)
    inbox = Inbox(made.nudges)
    told = []
    for workers in ([silent, silent, silent, PREDICTED], [silent, silent, PREDICTED], [silent, silent, PREDICTED]):
        caplog.clear()
        assert made.send(workers=workers).status == 200
        told.append((sum("lost its worker" in line for line in caplog.messages), len(lost_in(inbox))))
    # Of each worker once; and of the one that answered in between once more.
    assert told == [(2, 2), (1, 1), (1, 1)]
    inbox.close()


def lost_in(inbox):
    return [nudge for nudge in inbox.wait(0.1) if isinstance(nudge, Lost)]


CRASH = LostError("reset", sent=True)


def test_a_request_that_loses_three_workers_one_after_the_other_is_to_blame(bench, ready):
    made = bench(ready)
    assert made.send(workers=[CRASH, PREDICTED]).status == 200
    assert made.send(workers=[CRASH, CRASH, PREDICTED]).status == 200
    reply = made.send(workers=[CRASH, CRASH, CRASH])
    assert (reply.status, reply.json["error_code"]) == (502, "WORKER_CRASHED")


class Sent:
    """A request that is with a worker, or waits."""

    def __init__(self, made):
        self._made = made
        self._steps = made.gateway.respond(Head("POST", URL, JSON_HEADERS))
        assert isinstance(next(self._steps), ReadBody)
        self.step = self._steps.send(IRIS)
        self.status = None

    @property
    def called(self):
        return isinstance(self.step, WorkerCall)

    def get(self, outcome):
        try:
            lost = isinstance(outcome, Exception)
            self.step = self._steps.throw(outcome) if lost else self._steps.send(outcome)
        except StopIteration as stop:
            self.step, self.status = None, stop.value.status

    def poll(self):
        """Let a pause pass; the clock is the caller's."""
        if isinstance(self.step, Pause):
            self.get(None)


def passed(made, requests, seconds):
    """Let time pass for requests that wait, the first ones first."""
    end = made.now + seconds
    while made.now < end:
        made.now += 0.025
        for request in requests:
            request.poll()


def test_requests_that_lost_a_worker_together_are_tried_one_after_the_other(bench, ready):
    made = bench(ready)
    guilty, innocent = both = Sent(made), Sent(made)
    for request in both:
        request.get(CRASH)
    passed(made, both, 5.0)
    assert guilty.called
    assert not innocent.called
    assert Sent(made).called  # a new request does not wait
    guilty.get(CRASH)
    passed(made, both, 0.1)
    assert innocent.called  # before the other, which has to pause
    innocent.get(WorkerReply(*PREDICTED))
    passed(made, both, 1.0)
    guilty.get(CRASH)
    assert (guilty.status, innocent.status) == (502, 200)


def test_a_trial_that_other_suspects_have_joined_charges_nobody(bench, ready):
    made = bench(ready)
    crowd = [Sent(made) for _ in range(8)]
    for _ in range(4):
        for request in [request for request in crowd if request.called]:
            request.get(CRASH)
        passed(made, crowd, 2.0)
        assert any(request.called for request in crowd)
    assert {request.status for request in crowd} == {None}


def test_a_request_whose_workers_are_lost_beside_others_is_tried_until_its_time_is_over(bench, ready):
    made = bench(ready, settings={"hold_timeout_s": 10.0})
    crowd = [Sent(made) for _ in range(8)]
    called = []
    while any(request.status is None for request in crowd):
        called.append(sum(request.called for request in crowd))
        for request in [request for request in crowd if request.called]:
            request.get(CRASH)
        passed(made, crowd, 1.5)
        assert made.now < 60
    # All at first, then one on trial and what half a crowd has room for.
    assert called[:2] == [8, 4]
    assert {request.status for request in crowd} == {503}


def test_a_retry_has_the_whole_request_timeout_and_waits_for_a_sign_of_life(bench, ready):
    made = bench(ready, timeout_s=0.5)
    assert made.send(workers=[LostError("reset", sent=True), PREDICTED]).status == 200
    assert [(call.timeout_s, call.careful) for call in made.calls] == [(0.5, False), (0.5, True)]


def test_a_timeout_is_504(bench, ready):
    reply = bench(ready).send(workers=[DeadlineError("too long")])
    assert (reply.status, reply.json["error_code"]) == (504, "DEADLINE_EXCEEDED")


def test_a_workers_error_is_explained(bench, ready):
    reply = bench(ready).send(workers=[(500, "text/plain", b"Internal Server Error")])
    assert (reply.status, reply.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert "predict;dur=1000" in reply.headers["server-timing"]


def test_more_requests_than_may_wait_are_turned_away(bench):
    made = bench(version(1, state=EntityState.PENDING), settings={"max_in_flight": 1})
    first = made.gateway.respond(Head("POST", URL, JSON_HEADERS))
    assert isinstance(next(first), ReadBody)
    assert isinstance(first.send(IRIS), Pause)
    reply = made.send()
    assert (reply.status, reply.headers["retry-after"]) == (429, "1")
    first.close()
    assert made.send(hold_cap_s=0.0).status == 503


def test_ping_tells_readiness_without_waiting(bench, ready):
    assert bench(ready).send("/model/iris/1/ping", "GET").status == 200
    starting = bench(version(1, state=EntityState.LAUNCHING, message="loading"))
    reply = starting.send("/model/iris/1/ping", "GET")
    assert (reply.status, starting.paused_s) == (503, 0)
    assert "loading" in reply.json["message"]


def test_a_bug_is_a_500_that_tells_nothing_of_itself(bench, ready, caplog):
    reply = bench(ready).send(workers=[RuntimeError("secret")])
    assert (reply.status, reply.json["error_code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in reply.json["message"]
    assert "secret" in caplog.text


def test_failures_are_logged_with_their_request_and_never_with_the_body(bench, ready, caplog):
    caplog.set_level("INFO")
    bench(ready).send(headers={**JSON_HEADERS, "x-request-id": "req-7"}, body=b"[secret")
    assert "req-7" in caplog.text
    assert "'iris' version 1" in caplog.text
    assert "secret" not in caplog.text


def test_the_schema_of_a_version_is_there_once_its_files_are(bench, tmp_path):
    reply = bench(version(1)).send("/model/iris/1/schema", "GET")
    assert (reply.status, "not been fetched" in reply.json["message"]) == (503, True)
    (tmp_path / "MLmodel").write_text("flavors: {}")
    reply = bench(version(1, model_dir=str(tmp_path))).send("/model/iris@champion/schema", "GET")
    assert reply.status == 404
    reply = bench(version(1, model_dir=str(tmp_path))).send("/model/iris/1/schema", "GET")
    assert reply.json["info"] == {"title": "iris, version 1", "version": "1"}


def wakes_of(made):
    """The messages to the controller that the gateway sends from now on."""
    inbox = Inbox(made.nudges)
    return lambda: [nudge for nudge in inbox.wait(0) if isinstance(nudge, Wake)]


def test_a_request_for_a_sleeping_version_is_held_and_the_controller_hears_of_it_until_it_wakes(bench, ready):
    made = bench(version(1, state=EntityState.ASLEEP))
    wakes = wakes_of(made)
    made.on_pause = lambda: made.paused_s > 1 and publish(made.path, routes(ready))
    assert made.send().status == 200
    told = wakes()
    assert {*told} == {Wake("e1", "1")}
    assert 5 <= len(told) <= 12


def test_the_wake_of_a_version_is_asked_for_once_by_those_who_wait_at_the_same_time(bench):
    made = bench(version(1, state=EntityState.WAKING), settings={"hold_timeout_s": 0.05})
    wakes = wakes_of(made)
    made.send()
    made.send()
    assert wakes() == [Wake("e1", "1")]


@pytest.mark.parametrize("state", [EntityState.ASLEEP, EntityState.WAKING])
def test_a_health_check_finds_a_sleeping_version_well_and_does_not_wake_it(bench, state):
    made = bench(version(1, state=state))
    wakes = wakes_of(made)
    assert made.send("/model/iris/1/ping", "GET").status == 200
    assert wakes() == []


def test_a_call_over_the_limit_gets_429_in_the_callers_dialect_before_its_body_is_read(tmp_path):
    limited = routes(version(1, worker_route(tmp_path / "w")))
    (key, found), *_ = limited.endpoints.items()
    limited.endpoints[key] = replace(found, config=replace(found.config, calls_per_minute=1))
    bench = Bench(tmp_path, limited)
    assert bench.send().status == 200
    bench.read = False
    refused = bench.send()
    assert (refused.status, refused.json["error_code"]) == (429, "REQUEST_LIMIT_EXCEEDED")
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert not bench.read
