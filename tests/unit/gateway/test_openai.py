"""OpenAI's shapes: what becomes of bodies, answers, events and errors."""

from __future__ import annotations

import json

import pytest

from mlflow_serving_plugin.errors import BadRequestError, UnsupportedTypeError
from mlflow_serving_plugin.gateway.dialects.base import Failure
from mlflow_serving_plugin.gateway.dialects.openai import CHAT, EMBEDDINGS, RESPONSES, model_in


def read(dialect, **fields):
    return dialect.reader({"content-type": "application/json"}, "modern")(json.dumps(fields).encode())


def test_the_model_s_name_is_an_address_and_does_not_reach_the_model():
    request = read(CHAT, model="m/1", messages=[], temperature=0.5, stream=True)
    assert json.loads(request.body) == {"messages": [], "temperature": 0.5, "stream": True}
    assert request.stream
    assert not read(CHAT, model="m", messages=[]).stream


def test_a_text_as_input_of_responses_becomes_one_message_of_the_user():
    assert json.loads(read(RESPONSES, input="hi").body) == {"input": [{"role": "user", "content": "hi"}]}
    assert json.loads(read(EMBEDDINGS, input="hi").body) == {"input": "hi"}


def test_one_stop_sequence_becomes_the_list_that_chat_models_take():
    assert json.loads(read(CHAT, messages=[], stop="END").body)["stop"] == ["END"]
    assert json.loads(read(CHAT, messages=[], stop=["a", "b"]).body)["stop"] == ["a", "b"]
    assert "stop" not in json.loads(read(CHAT, messages=[]).body)


@pytest.mark.parametrize(("dialect", "field"), [(CHAT, "messages"), (RESPONSES, "input"), (EMBEDDINGS, "input")])
def test_a_body_without_what_the_route_asks_for_is_refused(dialect, field):
    with pytest.raises(BadRequestError, match=f"the field '{field}'"):
        read(dialect, model="m")
    with pytest.raises(UnsupportedTypeError):
        dialect.reader({"content-type": "text/csv"}, "modern")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"model": 1}', b'{"model": ""}', b"{"])
def test_a_body_that_names_no_model_is_refused(body):
    with pytest.raises(BadRequestError):
        model_in(body)


def answered(answer, dialect=CHAT):
    request = read(dialect, model="m", messages=[], input="a")
    return json.loads(request.reply_format.answer(json.dumps(answer).encode()))


def test_an_answer_in_openai_s_shape_keeps_its_bytes():
    whole = b'{"choices": [ ], "id":"1"}'
    assert CHAT.answer(whole) == whole
    assert RESPONSES.answer(whole) == whole


@pytest.mark.parametrize(
    ("answer", "content"),
    [
        ({"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}, "b"),
        ("b", "b"),
        (["b"], "b"),
        ([1.5], "1.5"),
    ],
)
def test_other_answers_become_a_chat_completion(answer, content):
    made = answered(answer)
    assert (made["object"], made["model"]) == ("chat.completion", "m")
    (choice,) = made["choices"]
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", content)


@pytest.mark.parametrize("event", [{"delta": {"role": "assistant", "content": "b"}}, "b"])
def test_other_events_become_chunks(event):
    made = json.loads(read(CHAT, model="m", messages=[]).reply_format.event(json.dumps(event).encode()))
    assert made["object"] == "chat.completion.chunk"
    assert made["choices"][0]["delta"] == {"role": "assistant", "content": "b"}


CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"messages": [CALL]}, "tool_calls"),
        ({"messages": [CALL, {"role": "assistant", "content": "done"}]}, "stop"),
        ({"messages": [{"role": "assistant", "content": "cut"}], "finish_reason": "length"}, "length"),
        ("text", "stop"),
    ],
)
def test_a_completion_says_why_it_ended(answer, reason):
    assert answered(answer)["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("reason", [None, "stop"])
def test_a_chunk_says_why_it_is_the_last_where_the_model_does(reason):
    event = json.dumps({"delta": {"role": "assistant", "content": "a"}, "finish_reason": reason}).encode()
    chunk = json.loads(read(CHAT, messages=[]).reply_format.event(event))
    assert chunk["choices"][0]["finish_reason"] == reason


@pytest.mark.parametrize("vectors", [[[1.0, 2.0]], [1.0, 2.0]])
def test_vectors_become_openai_s_list_of_embeddings(vectors):
    assert answered(vectors, EMBEDDINGS)["data"] == [{"object": "embedding", "index": 0, "embedding": [1.0, 2.0]}]


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (404, "not_found_error"), (503, "server_error")],
)
def test_errors_have_openai_s_shape(status, kind):
    refusal = CHAT.refuse(Failure(status, "CODE", "why"))
    error = {"message": "why", "type": kind, "param": None, "code": "CODE"}
    assert (refusal.status, json.loads(refusal.body)) == (status, {"error": error})
