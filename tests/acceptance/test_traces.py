"""Traces that models make, and what models are told of their callers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import mlflow
import pytest
from databricks.sdk import WorkspaceClient
from databricks.sdk.service.serving import EndpointCoreConfigInput, ServedEntityInput
from support import eventually
from support.models import Models, register
from support.server import TrackingServer
from support.streams import events_of, streamed
from support.tracking import tracking_at

NUMBER = 20


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    register(plain.client, "traced", models.path("traced"))
    plain.enable("traced", context_headers="X-Tenant, Authorization")
    plain.wait_ready("traced", 1)
    return plain


def ask(server: TrackingServer, **asked: Any) -> Any:
    response = server.score("traced/1", {"prompt": "word", **asked})
    assert response.status_code == 200, response.text
    return response.json()


def stored(server: TrackingServer, client_request_id: str, number: int = 1) -> list[Any]:
    """The traces of the requests that a client has named so, once there are so many."""

    def found() -> list[Any]:
        experiment = server.client.get_experiment_by_name("serving/traced")
        traces = server.client.search_traces([experiment.experiment_id], max_results=100) if experiment else []
        return [trace for trace in traces if trace.info.client_request_id == client_request_id]

    eventually(lambda: len(found()) == number, tail=server.tail)
    return found()


def test_all_spans_of_a_model_are_in_the_experiment_of_its_endpoint(server: TrackingServer) -> None:
    for _ in range(NUMBER):
        assert ask(server, client_request_id="all")["said"] == "WORD"
    for trace in stored(server, "all", NUMBER):
        assert sorted(span.name for span in trace.data.spans) == ["answer", "think"]
        tags = {name: value for name, value in trace.info.tags.items() if name.startswith("serving.")}
        assert tags == {"serving.model": "traced", "serving.version": "1", "serving.endpoint": "traced"}
        assert not [value for value in trace.info.trace_metadata.values() if value.startswith("/")]


def test_a_failed_prediction_and_a_stream_are_traced(server: TrackingServer) -> None:
    assert server.score("traced/1", {"prompt": "a", "do": "raise", "client_request_id": "failed"}).status_code == 400
    (failed,) = stored(server, "failed")
    assert failed.info.state == "ERROR"
    events = events_of(streamed(server, "traced", prompt="a b", client_request_id="streamed"))
    assert events == [{"said": "A"}, {"said": "B"}]
    (trace,) = stored(server, "streamed")
    assert [span.name for span in trace.data.spans] == ["stream"]


def test_a_client_may_have_the_trace_or_its_id_in_the_answer(server: TrackingServer) -> None:
    asked = {"databricks_options": {"return_trace": True}, "client_request_id": "returned"}
    answer = ask(server, **asked)
    assert answer["said"] == "WORD"
    returned = answer["databricks_output"]["trace"]
    (trace,) = stored(server, "returned")
    assert returned["info"]["trace_id"] == trace.info.trace_id
    assert "trace_location" not in returned["info"]
    body = {"prompt": "a", "client_request_id": "named"}
    named = server.score("traced/1", body, **{"x-mlflow-return-trace-id": "true"}).json()
    assert named["metadata"]["trace_id"] == stored(server, "named")[0].info.trace_id
    *events, last = events_of(streamed(server, "traced", prompt="a", **asked))
    assert events == [{"said": "A"}]
    assert last["databricks_output"]["trace"]["data"]["spans"]


@pytest.fixture
def evaluation(server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The experiment of a person who evaluates an endpoint, as Databricks' clients find the server."""
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_TRACE_LOGGING", "false")
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "of nobody")
    with tracking_at(server.url):
        yield mlflow.set_experiment("evaluation").experiment_id


def test_mlflow_evaluates_an_endpoint_by_the_traces_that_the_endpoint_returns(
    server: TrackingServer, evaluation: str
) -> None:
    entity = ServedEntityInput(entity_name="traced", entity_version="1")
    config = EndpointCoreConfigInput(name="judged", served_entities=[entity])
    WorkspaceClient(host=server.url, token="of nobody", auth_type="pat").serving_endpoints.create_and_wait(
        "judged", config=config
    )
    assert mlflow.genai.to_predict_fn("endpoints:/judged")(prompt="word") == {"said": "WORD"}
    (trace,) = server.client.search_traces([evaluation])
    assert sorted(span.name for span in trace.data.spans) == ["answer", "think"]


def test_a_model_learns_who_calls_it(server: TrackingServer) -> None:
    body = json.dumps({"prompt": "a", "do": "context", "client_request_id": "mine"}).encode()
    headers = {"X-Tenant": "acme", "X-Other": "no", "X-Request-Id": "ours", "Authorization": "Bearer secret"}
    told = server.score("traced/1", body, **headers).json()
    assert told == {
        "client_request_id": "mine",
        "user": None,
        "headers": {"x-tenant": "acme"},
        "model_version": "1",
        "request_id": "ours",
        "endpoint_name": "traced",
    }


@pytest.mark.parametrize("what", ["log", "load"])
def test_a_model_without_a_tracking_server_is_told_which_setting_gives_one(server: TrackingServer, what: str) -> None:
    refused = server.score("traced/1", {"prompt": "a", "do": what})
    assert refused.status_code == 403
    assert "MLFLOW_TRACKING_URI" in refused.json()["message"]
