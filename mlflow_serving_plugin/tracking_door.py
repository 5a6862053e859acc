"""Where workers with ``tracking: on`` come in: a request with a worker's token becomes one of its owner's for MLflow.

Every other request passes untouched. Fed by ``dispatch`` with requests for MLflow's own paths.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from mlflow_serving_plugin.access.worker_tokens import WorkerTokens, worker_token_in
from mlflow_serving_plugin.connections import path_of
from mlflow_serving_plugin.errors import PermissionDeniedError, ServingError
from mlflow_serving_plugin.http_errors import error_body, error_headers, error_status

_OF_CALLERS = (b"authorization", b"cookie")
_JSON = ("Content-Type", "application/json")


class AsgiTrackingDoor:
    """Around MLflow's app under uvicorn. ``prefix``: ``--static-prefix``."""

    def __init__(self, inner: Any, tokens: WorkerTokens, prefix: str) -> None:
        self._inner = inner
        self._tokens = tokens
        self._prefix = prefix

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """One connection, request or lifespan."""
        value = _token_of(scope) if scope["type"] == "http" else None
        if value is not None:
            try:
                path = _without(self._prefix, path_of(scope))
                credentials = await asyncio.to_thread(self._tokens.credentials_for, value, path)
            except ServingError as refusal:
                await _refuse(refusal, send)
                return
            kept = [(name, given) for name, given in scope["headers"] if name.lower() not in _OF_CALLERS]
            scope = {**scope, "headers": [*kept, (b"authorization", credentials.encode())]}
        await self._inner(scope, receive, send)


class WsgiTrackingDoor:
    """Around MLflow's app under gunicorn and waitress. ``prefix``: ``--static-prefix``."""

    def __init__(self, inner: Any, tokens: WorkerTokens, prefix: str) -> None:
        self._inner = inner
        self._tokens = tokens
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""
        value = worker_token_in(environ.get("HTTP_AUTHORIZATION", ""))
        if value is not None:
            try:
                raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
                path = _without(self._prefix, raw.encode("latin-1").decode("utf-8", "replace"))
                credentials = self._tokens.credentials_for(value, path)
            except ServingError as refusal:
                status = HTTPStatus(error_status(refusal))
                start_response(f"{status.value} {status.phrase}", [_JSON, *error_headers(refusal)])
                return [error_body(refusal)]
            environ = {**environ, "HTTP_AUTHORIZATION": credentials.encode().decode("latin-1")}
            environ.pop("HTTP_COOKIE", None)
        answer: Iterable[bytes] = self._inner(environ, start_response)
        return answer


async def _refuse(refusal: ServingError, send: Any) -> None:
    headers = [(name.lower().encode(), value.encode("latin-1")) for name, value in (_JSON, *error_headers(refusal))]
    await send({"type": "http.response.start", "status": error_status(refusal), "headers": headers})
    await send({"type": "http.response.body", "body": error_body(refusal)})


def _token_of(scope: dict[str, Any]) -> str | None:
    for name, value in scope["headers"]:
        if name.lower() == b"authorization" and (found := worker_token_in(value.decode("latin-1"))):
            return found
    return None


def _without(prefix: str, path: str) -> str:
    if prefix and not path.startswith(prefix + "/"):
        raise PermissionDeniedError("This is no path of MLflow's API on this server.")
    return path[len(prefix) :]
