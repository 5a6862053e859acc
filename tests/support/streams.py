"""Streams over HTTP, for whichever tracking server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import requests

from support import eventually
from support.models import Models, register
from support.server import HTTP_S, TrackingServer


def serve_streaming(server: TrackingServer, models: Models, name: str = "streaming", **config: Any) -> None:
    """Serve a model that streams as it is asked to (``served_models/streaming.py``)."""
    register(server.client, name, models.path("streaming"))
    server.enable(name, **config)
    server.wait_ready(name, 1)


def streamed(
    server: TrackingServer, name: str = "streaming", *, close: bool = False, **asked: Any
) -> requests.Response:
    """The answer to ``stream: true``, whose body has not been read. ``close``: on a connection that ends with it."""
    return requests.post(
        f"{server.url}/model/{name}/1/invocations",
        json={"prompt": "word", "stream": True, **asked},
        headers={**server.credentials, **({"Connection": "close"} if close else {})},
        stream=True,
        timeout=HTTP_S,
    )


def events_of(response: requests.Response, lines: Iterator[bytes] | None = None) -> list[Any]:
    """The events of an answer, or of what is left of its ``lines``, to the end, which has to be ``[DONE]``."""
    lines = [line.decode() for line in lines or response.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines), lines
    assert lines[-1] == "data: [DONE]", lines
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


def short_stream(server: TrackingServer, models: Models) -> None:
    """Events come while the model runs on, an error is the last event, and a client that leaves ends the generator."""
    serve_streaming(server, models)
    release, over = server.shared / "release", server.shared / "over"
    response = streamed(server, number=2, at=1, do="wait", **{"for": str(release)})
    assert response.headers["Content-Type"].startswith("text/event-stream")
    lines = response.iter_lines()
    assert json.loads(next(lines).removeprefix(b"data: "))["n"] == 0
    release.touch()
    assert [event["n"] for event in events_of(response, lines)] == [1]
    *_, last = events_of(streamed(server, at=1, do="raise"))
    assert last["error"]["error_code"] == "BAD_REQUEST"
    assert "no more words" in last["error"]["message"]
    with streamed(server, number=10**9, pause_s=0.001, over=str(over)) as endless:
        next(endless.iter_lines())
    eventually(over.exists, tail=server.tail)
