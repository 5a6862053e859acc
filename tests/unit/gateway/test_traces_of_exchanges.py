"""Traces on their way from an answer to the tracking store, and into the answer."""

from __future__ import annotations

import json
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from support import eventually

from mlflow_serving_plugin.gateway import traces as module
from mlflow_serving_plugin.gateway.asking import last_events, read_asking, with_traces
from mlflow_serving_plugin.gateway.dialects.base import Asked, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.mlflow2 import MLFLOW2
from mlflow_serving_plugin.gateway.traces import Traces, rest_s

TRACE = b'{"info": {"trace_id": "tr-1", "trace_location": {}}, "data": {"spans": []}}'
KEY = ("1", "2")


class Counted:
    """Counts by outcome."""

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def count(self, _name: str, *labels: str) -> None:
        assert labels[:-1] == KEY
        self.outcomes.append(labels[-1])


def an_exchange(*traces: bytes, asked: Asked = Asked(), stores: bool = True) -> Any:  # noqa: B008
    model = SimpleNamespace(name="flowers", version=2)
    choice = SimpleNamespace(
        key=KEY,
        endpoint=SimpleNamespace(id="1", name="flowers", config=SimpleNamespace(trace_experiment="")),
        entity=SimpleNamespace(served_name="", name="2", model=model),
    )
    request = ScoringRequest(JSON, b"{}", MLFLOW2, asked=asked)
    answer = SimpleNamespace(traces=traces)
    return SimpleNamespace(
        answer=answer,
        choice=choice,
        request=request,
        workspace="",
        request_id="ours",
        caller=None,
        stores_traces=stores,
    )


def test_traces_are_written_by_a_thread_and_counted():
    written, counted = [], Counted()
    traces = Traces(written.append, counted)
    traces.start()
    traces(an_exchange(TRACE, b""))
    traces(an_exchange(TRACE, stores=False))
    traces(an_exchange())
    traces.stop()
    (record,) = written
    assert (record.experiment, record.model, record.version) == ("serving/flowers", "flowers", "2")
    assert record.client_request_id == "ours"
    assert sorted(counted.outcomes) == ["dropped", "stored"]


def test_a_store_that_is_away_or_slow_costs_traces_and_no_request(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "_MOST_WAITING", 2)
    away, counted = threading.Event(), Counted()

    def write(_: object) -> None:
        away.wait()
        raise ConnectionError("the database is away")

    traces = Traces(write, counted)
    traces.start()
    for _ in range(10):
        traces(an_exchange(TRACE))
    eventually(lambda: len(counted.outcomes) >= 7)
    away.set()
    traces.stop()
    assert counted.outcomes == ["dropped"] * 10


@pytest.mark.parametrize(("ended", "rest"), [(0, 0), (1, 0), (6, 0), (7, 0.18), (1000, 0.18)])
def test_under_load_a_tenth_of_the_time_is_for_writing_traces(ended: int, rest: float):
    assert rest_s(0.02, 0.05, ended) == pytest.approx(rest)


@pytest.mark.parametrize(
    ("body", "asked", "left"),
    [
        (b'{"input": "a"}', Asked(), {"input": "a"}),
        (b'{"input": "a", "client_request_id": 7}', Asked("7"), {"input": "a"}),
        (b'{"input": "a", "databricks_options": {"return_trace": true}}', Asked(trace=True), {"input": "a"}),
        (b'{"input": "a", "databricks_options": "yes"}', Asked(), {"input": "a"}),
        (b'{"input": {"client_request_id": 7}}', Asked(), {"input": {"client_request_id": 7}}),
        (b'["client_request_id"]', Asked(), ["client_request_id"]),
    ],
)
def test_what_a_client_wants_is_taken_out_of_the_body(body: bytes, asked: Asked, left: object):
    request = read_asking(lambda body: ScoringRequest(JSON, body, MLFLOW2), {}, body)
    assert (request.asked, json.loads(request.body)) == (asked, left)


def test_a_body_that_is_no_json_is_left_to_the_worker_s_words():
    body = b'{"client_request_id": '
    assert read_asking(lambda body: ScoringRequest(JSON, body, MLFLOW2), {}, body).body == body


def test_the_answer_gets_the_trace_without_its_place():
    exchange = an_exchange(b"", TRACE, b"no JSON", b'{"info": 1, "data": 2}', asked=Asked(trace=True, trace_id=True))
    answer = json.loads(with_traces(b'{"predictions": [1], "metadata": {"a": 1}}', exchange))
    assert answer["databricks_output"]["trace"] == {"info": {"trace_id": "tr-1"}, "data": {"spans": []}}
    assert answer["metadata"] == {"a": 1, "trace_id": "tr-1"}
    assert with_traces(b"[1]", exchange) == b"[1]"
    assert last_events(exchange).count(b"data: ") == 2


@pytest.mark.parametrize("field", ["trace_metadata", "request_metadata", "tags"])
def test_a_trace_in_the_answer_says_nothing_of_the_server_s_paths_and_users(field):
    of_process = {"mlflow.source.name": "/srv/serving/worker/__main__.py", "mlflow.user": "root"}
    info = {"trace_id": "tr-1", field: {**of_process, "mine": "1"}}
    text = json.dumps({"info": info, "data": {"spans": []}}).encode()
    answer = json.loads(with_traces(b"{}", an_exchange(text, asked=Asked(trace=True))))
    assert answer["databricks_output"]["trace"]["info"] == {"trace_id": "tr-1", field: {"mine": "1"}}


def test_without_a_trace_the_answer_says_that_there_is_none():
    exchange = an_exchange(asked=Asked(trace=True, trace_id=True))
    assert json.loads(with_traces(b"{}", exchange)) == {
        "databricks_output": {"databricks_request_id": "ours", "trace": None}
    }
