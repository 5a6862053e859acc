"""OpenAI's routes through the core: who may call, and which model answers."""

from __future__ import annotations

import json

import pytest
from support.gateway_fakes import routes, version, worker_route
from test_core import JSON_HEADERS, Bench, Guarded

from mlflow_serving_plugin.access.forgery import BrowserRules

URL = "/serving-endpoints/chat/completions"
ALICE, BOB = ({**JSON_HEADERS, "authorization": name} for name in ("alice", "bob"))
ANSWER = (200, "application/json", b'{"choices": [], "model": "x"}')


def asked(model="iris"):
    return json.dumps({"model": model, "messages": [{"role": "user", "content": "hi"}]}).encode()


@pytest.fixture
def bench(short):
    return Bench(short, routes(version(1, worker_route(short / "w1")), aliases={"champion": 1}), Guarded())


@pytest.mark.parametrize("model", ["iris", "iris/1", "iris@champion", "models:/iris/1"])
def test_the_model_that_the_body_names_answers(bench, model):
    reply = bench.send(URL, headers=ALICE, body=asked(model), workers=(ANSWER,))
    assert (reply.status, reply.json) == (200, {"choices": [], "model": "x"})
    assert reply.headers["x-mlflow-model-version"] == "1"
    assert json.loads(bench.calls[0].body) == {"messages": [{"role": "user", "content": "hi"}]}


def test_a_caller_without_credentials_is_refused_before_the_body_is_read(bench):
    reply = bench.send(URL, body=asked())
    assert (reply.status, bench.read) == (401, False)
    assert reply.json["error"]["type"] == "authentication_error"


@pytest.mark.parametrize("model", ["iris", "other", "iris/7"])
def test_a_caller_without_read_is_told_the_same_of_every_model(bench, model):
    reply = bench.send(URL, headers=BOB, body=asked(model))
    assert reply.status == 404
    assert "or you have no READ permission on the model" in reply.json["error"]["message"]
    assert not bench.calls


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": []}', b'{"model": "iris"}'])
def test_a_body_that_is_not_openai_s_is_400_in_openai_s_shape(bench, body):
    reply = bench.send(URL, headers=ALICE, body=body)
    assert (reply.status, reply.json["error"]["type"]) == (400, "invalid_request_error")


def test_models_are_those_that_the_caller_may_read(bench):
    for headers, names in ((ALICE, ["iris"]), (BOB, [])):
        reply = bench.send("/serving-endpoints/models", "GET", headers)
        assert [model["id"] for model in reply.json["data"]] == names
    assert bench.send("/serving-endpoints/models", "GET", {}).status == 401
    assert bench.send("/model/iris/1/v1/models", "GET", ALICE).json["data"][0]["id"] == "iris"


@pytest.mark.parametrize("model", ["iris", "iris/1", "iris@champion", "models:/iris/1"])
def test_a_model_is_found_by_each_of_its_names(bench, model):
    path = f"/serving-endpoints/models/{model}"
    found = bench.send(path, "GET", ALICE)
    assert (found.status, found.json["id"], found.json["object"]) == (200, model, "model")
    assert not bench.calls
    refused = bench.send(path, "GET", BOB)
    assert (refused.status, set(refused.json)) == (404, {"error"})
    assert bench.send(path, "GET", {}).status == 401
    assert bench.send(path, "POST", ALICE).status == 405


@pytest.mark.parametrize("model", ["other", "iris/7", "iris@nobody", "iris/1/2", "/iris", "models/iris"])
def test_a_model_that_is_not_there_is_404_in_openai_s_shape(bench, model):
    missing = bench.send(f"/serving-endpoints/models/{model}", "GET", ALICE)
    assert (missing.status, set(missing.json)) == (404, {"error"})


@pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405)])
def test_other_methods_are_refused_in_openai_s_shape(bench, method, status):
    reply = bench.send(URL, method, ALICE)
    assert (reply.status, set(reply.json)) == (status, {"error"})


def test_a_forged_request_is_refused_before_anything_is_read(short):
    bench = Bench(
        short,
        routes(version(1, worker_route(short / "w1"))),
        rules=BrowserRules(lambda _: True, lambda _: False, bearer_exempt=False),
    )
    forged = {**JSON_HEADERS, "host": "server.example", "origin": "https://evil.example"}
    for path in (URL, "/serving-endpoints/responses", "/serving-endpoints/embeddings", "/model/iris/1/v1/responses"):
        assert bench.send(path, headers=forged, body=asked()).status == 403
    assert not bench.read
