"""Serving endpoints through the core: who may query, which entity answers, what the answer says of the entity."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.gateway_fakes import PREDICTED, worker_route
from support.routes import endpoint_of
from test_core import JSON_HEADERS, Bench, Guarded

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.domain.entity import EntityKey, ModelRef
from mlflow_serving_plugin.domain.routes import EntityRoute, Routes, serving_key
from mlflow_serving_plugin.domain.states import EntityState

URL = "/serving-endpoints/split/invocations"
ALICE, BOB, CAROL = ({**JSON_HEADERS, "authorization": name} for name in ("alice", "bob", "carol"))
BODY = {"dataframe_split": {"columns": ["a"], "data": [[1]]}}


class OfTwoModels(Guarded):
    """alice may read both models, carol one of them, bob none."""

    def permission(self, user, workspace, name):
        may = {"alice": {"iris", "wine"}, "carol": {"iris"}}.get(user.name, set())
        return Permission.READ if name in may else Permission.NONE


def split(directory):
    entities = {
        key: EntityRoute(
            EntityKey("e1", key),
            ModelRef("default", model, number),
            EntityState.READY,
            "",
            "None",
            0,
            workers=(worker_route(directory / f"w-{key}"),),
            served_name=key[0],
        )
        for key, model, number in (("a.1", "iris", 3), ("b.1", "wine", 7))
    }
    endpoint = replace(
        endpoint_of(*entities.values(), name="split"),
        traffic=(("a.1", 50), ("b.1", 50)),
        served={"a": "a.1", "b": "b.1"},
        models=("iris", "wine"),
    )
    routes = {f"e1/{key}": entity for key, entity in entities.items()}
    return Routes(written_ms=1, endpoints={serving_key("default", "split"): endpoint}, entities=routes)


@pytest.fixture
def bench(short):
    return Bench(short, split(short), OfTwoModels())


def ask(bench, headers=ALICE, path=URL, **fields):
    return bench.send(path, headers=headers, body=json.dumps({**BODY, **fields}).encode(), workers=(PREDICTED,))


def test_the_answer_names_the_entity_and_the_version(bench):
    versions = {"a": "3", "b": "7"}
    for _ in range(4):
        headers = ask(bench).headers
        assert headers["x-mlflow-model-version"] == versions[headers["served-model-name"]]
    assert ask(bench, path="/serving-endpoints/split/served-models/b/invocations").headers["served-model-name"] == "b"


def test_a_key_in_the_body_or_in_a_header_keeps_to_one_entity(bench):
    for key in ("one", "two", "three", "four"):
        in_body = {ask(bench, client_request_id=key).headers["served-model-name"] for _ in range(3)}
        in_header = ask(bench, {**ALICE, "x-client-request-id": key}).headers["served-model-name"]
        assert in_body == {in_header}
        # The key of a large body is looked for beside other requests.
        large = {"columns": ["a"], "data": [["x" * 300_000]]}
        assert ask(bench, client_request_id=key, dataframe_split=large).headers["served-model-name"] == in_header


def test_an_entity_whose_version_is_gone_is_not_found_and_its_share_goes_to_the_others(short):
    routes = split(short)
    gone = Bench(short, replace(routes, entities={"e1/b.1": routes.entities["e1/b.1"]}), OfTwoModels())
    assert {ask(gone).headers["served-model-name"] for _ in range(4)} == {"b"}
    reply = ask(gone, path="/serving-endpoints/split/served-models/a/invocations")
    assert (reply.status, reply.json["message"]) == (404, "The registry has no model version for 'split/a'.")


def test_a_bare_list_of_rows_is_answered_with_an_object(bench):
    headers = {**ALICE, "content-type": "application/json; format=pandas-records"}
    reply = bench.send(URL, headers=headers, body=b'[{"a": 1}]', workers=(PREDICTED,))
    assert reply.json == {"predictions": [0, 1]}


@pytest.mark.parametrize("headers, status", [(JSON_HEADERS, 401), (BOB, 404), (CAROL, 404)])
def test_without_read_on_every_model_there_is_no_such_endpoint(bench, headers, status):
    reply = ask(bench, headers)
    assert (reply.status, bench.calls) == (status, [])
    if status == 404:
        missing = ask(bench, headers, URL.replace("split", "nothing"))
        assert (missing.status, missing.json["message"]) == (404, reply.json["message"].replace("split", "nothing"))


def test_openai_s_client_may_name_an_endpoint(bench):
    body = json.dumps({"model": "split", "messages": []}).encode()
    answer = (200, "application/json", b'{"choices": []}')
    path = "/serving-endpoints/chat/completions"
    assert bench.send(path, headers=ALICE, body=body, workers=(answer,)).headers["served-model-name"] in {"a", "b"}
    refused = bench.send(path, headers=CAROL, body=body)
    assert (refused.status, "registered model 'split'" in refused.json["error"]["message"]) == (404, True)
    for headers, names in ((ALICE, ["split"]), (CAROL, [])):
        listed = bench.send("/serving-endpoints/models", "GET", headers).json["data"]
        assert [model["id"] for model in listed] == names
