"""In-process requests to the wrapped app with a caller's credentials: the app answers as it would answer the caller."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from werkzeug.test import Client, EnvironBuilder

from mlflow_serving_plugin.errors import TemporarilyUnavailableError

_ANSWER_S = 30.0
_NOT_PASSED_ON = frozenset({"content-length", "content-type", "transfer-encoding", "connection", "expect"})


class Answer(NamedTuple):
    """The app's answer."""

    status: int
    body: bytes


class InnerApp(Protocol):
    """The wrapped app. ``ask`` blocks, and must not be called on the app's own event loop."""

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """Send a request; ``path`` includes the query. The body is sent as JSON."""


class AsgiInner:
    """An ASGI app. All calls pass through this object, which so knows the app's event loop."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a connection on. The first connection is the lifespan's and gives the app's event loop."""
        self._loop = asyncio.get_running_loop()
        await self._app(scope, receive, send)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request, without a network."""
        if self._loop is None:
            raise TemporarilyUnavailableError("The server is starting.", retry_after_s=1)
        future = asyncio.run_coroutine_threadsafe(self._ask(method, path, headers, body), self._loop)
        return future.result(_ANSWER_S)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        status = 0
        chunks: list[bytes] = []
        pending = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> dict[str, Any]:
            if pending:
                return pending.pop()
            await asyncio.Event().wait()
            raise AssertionError

        async def send(message: dict[str, Any]) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            elif message["type"] == "http.response.body":
                chunks.append(message.get("body", b""))

        await self._app(_scope(method, path, headers, body), receive, send)
        return Answer(status, b"".join(chunks))


class WsgiInner:
    """A WSGI app."""

    def __init__(self, app: Callable[..., Any]) -> None:
        self._app = app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Pass a request on."""
        return self._app(environ, start_response)

    def ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> Answer:
        """One request, without a network."""
        builder = EnvironBuilder(path=path, method=method, headers=_passed_on(headers), data=body)
        if body:
            builder.content_type = "application/json"
        response = Client(self._app).open(builder)
        try:
            return Answer(response.status_code, response.get_data())
        finally:
            response.close()


def _passed_on(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in headers.items() if name not in _NOT_PASSED_ON]


def _scope(method: str, path: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in _passed_on(headers)]
    if body:
        raw += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    plain, _, query = path.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": plain,
        "raw_path": plain.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": raw,
        "client": ("127.0.0.1", 0),
        "server": ("127.0.0.1", 0),
        "state": {},
    }
