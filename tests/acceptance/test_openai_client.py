"""OpenAI's own client against a served model, unchanged."""

from __future__ import annotations

from collections.abc import Iterator

import openai
import pytest
from support.models import Models, register
from support.server import TrackingServer

ASKED = "one two three"
MESSAGES = [{"role": "user", "content": ASKED}]


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    for name in ("chatmodel", "chatagent", "responses"):
        register(plain.client, name, models.path(name))
        plain.enable(name)
    for name in ("chatmodel", "chatagent", "responses"):
        plain.wait_ready(name, 1)
    return plain


@pytest.fixture
def client(server: TrackingServer) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/serving-endpoints", api_key="none", max_retries=0) as made:
        yield made


@pytest.mark.parametrize("model", ["chatmodel", "chatagent/1"])
def test_chat_completions_streamed_or_not_say_the_same(client: openai.OpenAI, model: str) -> None:
    whole = client.chat.completions.create(model=model, messages=MESSAGES, temperature=0.5)
    assert whole.choices[0].message.content == f"{ASKED}!"
    chunks = list(client.chat.completions.create(model=model, messages=MESSAGES, stream=True))
    assert len(chunks) > 1
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == f"{ASKED}!"


@pytest.mark.parametrize("asked", [ASKED, MESSAGES])
def test_responses_streamed_or_not_say_the_same(client: openai.OpenAI, asked: object) -> None:
    whole = client.responses.create(model="responses", input=asked)
    assert whole.output_text == f"{ASKED}!"
    events = list(client.responses.create(model="responses", input=asked, stream=True))
    assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == f"{ASKED}!"


def test_models_are_listed_and_errors_are_those_of_the_client(client: openai.OpenAI) -> None:
    assert {"chatmodel", "responses"} <= {model.id for model in client.models.list()}
    assert client.models.retrieve("chatmodel").id == "chatmodel"
    with pytest.raises(openai.NotFoundError, match="Serving is not enabled on registered model"):
        client.chat.completions.create(model="nothing", messages=MESSAGES)
    with pytest.raises(openai.BadRequestError, match="cannot stream its answer"):
        client.embeddings.create(model="iris", input="a", extra_body={"stream": True})


def test_a_version_has_the_routes_below_its_own_path(server: TrackingServer) -> None:
    with openai.OpenAI(base_url=f"{server.url}/model/chatmodel/1/v1", api_key="none", max_retries=0) as client:
        whole = client.chat.completions.create(model="whatever", messages=MESSAGES)
        assert whole.choices[0].message.content == f"{ASKED}!"
