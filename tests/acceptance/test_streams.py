"""``stream: true`` over HTTP."""

from __future__ import annotations

import pytest
import requests
from support import eventually
from support.listeners import Listeners
from support.metrics import scrape
from support.models import Models, register
from support.server import TrackingServer
from support.streams import events_of, short_stream, streamed

CLIENTS = 50


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    short_stream(plain, models)
    return plain


def test_events_are_data_lines_of_json_and_done_is_the_last(server: TrackingServer) -> None:
    response = streamed(server, number=3)
    assert response.headers["X-MLflow-Model-Version"] == "1"
    assert response.headers["Cache-Control"] == "no-cache"
    assert [event["n"] for event in events_of(response)] == [0, 1, 2]


def test_an_error_before_the_first_event_has_its_own_status(server: TrackingServer) -> None:
    response = streamed(server, at=0, do="raise")
    assert (response.status_code, response.headers["Content-Type"]) == (400, "application/json")
    assert "no more words" in response.json()["message"]


def test_a_worker_that_dies_in_the_middle_of_a_stream_is_the_last_event(server: TrackingServer) -> None:
    release = server.shared / "die"
    response = streamed(server, at=1, do="die", **{"for": str(release)})
    lines = response.iter_lines()
    assert b'"n": 0' in next(lines)
    release.touch()
    (last,) = events_of(response, lines)
    assert last["error"]["message"] == "The model's worker ended in the middle of this stream."
    server.wait_ready("streaming", 1)


def test_a_model_that_cannot_stream_answers_400_on_both_runtimes(server: TrackingServer, models: Models) -> None:
    asked = {"inputs": [[5.1, 3.5, 1.4, 0.2]], "stream": True}
    response = server.score("iris/1", asked)
    assert response.status_code == 400
    assert "This model cannot stream its answer" in response.json()["message"]
    register(server.client, "stock", models.path("streaming"))
    server.enable("stock", runtime="mlflow")
    server.wait_ready("stock", 1)
    response = streamed(server, "stock")
    assert response.status_code == 400
    assert "set the endpoint's runtime to native" in response.json()["message"]


def test_streams_are_counted(server: TrackingServer) -> None:
    release = server.shared / "counted"
    response = streamed(server, number=2, at=1, do="wait", **{"for": str(release)})
    names = ("stream_events_total", "stream_first_event_seconds_count", "streams_in_flight")

    def missing() -> list[str]:
        lines = requests.get(f"{server.url}/serving/metrics").text.splitlines()
        series = [f'mlflow_serving_{name}{{model="streaming",version="1"}}' for name in names]
        return [one for one in series if not any(line.startswith(one) and line[-4:] != " 0.0" for line in lines)]

    eventually(lambda: not missing(), tail=missing)
    release.touch()
    events_of(response)


def test_clients_that_leave_in_the_middle_leave_nothing(server: TrackingServer) -> None:
    """Short for ``python -m tests.chaos streams``."""

    def asked(number: int) -> dict[str, object]:
        return {"number": 10**9, "pause_s": 0.01, "over": str(server.shared / f"left-{number}")}

    with Listeners(server, CLIENTS, asked) as crowd:
        eventually(lambda: crowd.begun == CLIENTS or crowd.failures, tail=server.tail)
    assert not crowd.failures
    eventually(lambda: len(list(server.shared.glob("left-*"))) == CLIENTS, tail=server.tail)
    in_flight = ("streams_in_flight", "streaming", "1")
    eventually(lambda: scrape(server).get(in_flight, 0.0) == 0, tail=server.tail)


@pytest.mark.parametrize("kind", ["chatmodel", "chatagent", "responses"])
def test_a_stream_of_each_kind_of_agent_adds_up_to_the_unstreamed_answer(
    server: TrackingServer, models: Models, kind: str
) -> None:
    register(server.client, kind, models.path(kind))
    server.enable(kind)
    server.wait_ready(kind, 1)
    field = "input" if kind == "responses" else "messages"
    asked = {field: [{"role": "user", "content": "one two three"}]}
    whole = server.score(f"{kind}/1", asked).json()
    events = events_of(server.score(f"{kind}/1", {**asked, "stream": True}))
    if kind == "responses":
        text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
        assert text == whole["output"][0]["content"][0]["text"]
    elif kind == "chatmodel":
        assert {event["object"] for event in events} == {"chat.completion.chunk"}
        text = "".join(event["choices"][0]["delta"].get("content") or "" for event in events)
        assert text == whole["choices"][0]["message"]["content"]
    else:
        assert "".join(event["delta"]["content"] for event in events) == whole["messages"][0]["content"]
