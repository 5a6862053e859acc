"""The outermost ASGI and WSGI callables: scoring → gateway, our API → Flask, everything else → MLflow, untouched."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from a2wsgi import WSGIMiddleware

from mlflow_serving_plugin.gateway.addresses import PREFIXES
from mlflow_serving_plugin.gateway.asgi import AsgiGateway
from mlflow_serving_plugin.gateway.wsgi import WsgiGateway

_logger = logging.getLogger(__name__)

CONTROL = (
    *(f"/{api}/2.0{preview}/mlflow/endpoints" for api in ("api", "ajax-api") for preview in ("", "/preview")),
    *(f"/{api}/2.0/token" for api in ("api", "ajax-api")),
    "/serving/health",
    "/serving/audit",
    "/serving/metrics",
)

Message = dict[str, Any]
Asgi = Callable[[Any, Any, Any], Any]
Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]


class Parts(Protocol):
    """What runs beside the requests in each web worker."""

    def ensure_started(self) -> None:
        """Start, unless this process has."""

    def stop(self) -> None:
        """Stop; may block for some seconds."""


def after_prefix(path: str, prefix: str) -> str | None:
    """The path after ``--static-prefix``; None when it is not below it."""
    if not prefix:
        return path
    return path[len(prefix) :] if path.startswith(prefix + "/") else None


def is_control(path: str) -> bool:
    """Whether a path (after the prefix) belongs to the control API: ``endpoints…`` or ``endpoints-v2…``."""
    return any(path == base or path.startswith((f"{base}/", f"{base}-v2/")) or path == f"{base}-v2" for base in CONTROL)


def settle_heap() -> None:
    """Take all that MLflow has imported out of the garbage collector's sight.

    A web worker holds a million objects that never die; looking at them again and again costs scoring a fifth of
    its time.
    """
    gc.collect()
    gc.freeze()


class AsgiDispatch:
    """The app under uvicorn."""

    def __init__(self, inner: Asgi, api: Any, gateway: AsgiGateway, parts: Parts, prefix: str) -> None:
        self._inner = inner
        self._api = WSGIMiddleware(api, workers=4)
        self._gateway = gateway
        self._parts = parts
        self._prefix = prefix

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """One connection, request or lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
            return
        if scope["type"] == "http":
            path = after_prefix(_path(scope), self._prefix)
            if path is not None and path.startswith(PREFIXES):
                self._parts.ensure_started()
                await self._gateway(scope, receive, send, path)
                return
            if path is not None and is_control(path):
                self._parts.ensure_started()
                await self._api(scope, receive, send)
                return
        await self._inner(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Any, send: Any) -> None:
        """MLflow's own lifespan inside ours. An inner app that knows none is left out, as uvicorn would."""
        started = False

        async def receive_and_stop() -> Message:
            message: Message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._stop()
            return message

        async def start_and_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "lifespan.startup.complete":
                started = True
                await asyncio.to_thread(self._parts.ensure_started)
                settle_heap()
            await send(message)

        try:
            await self._inner(scope, receive_and_stop, start_and_send)
        except Exception:
            if started:
                raise
            _logger.debug("The inner app has no lifespan.", exc_info=True)
            await receive()
            await start_and_send({"type": "lifespan.startup.complete"})
            await receive_and_stop()
            await send({"type": "lifespan.shutdown.complete"})

    async def _stop(self) -> None:
        await self._gateway.close()
        await asyncio.to_thread(self._parts.stop)


class WsgiDispatch:
    """The app under gunicorn and waitress."""

    def __init__(self, inner: Wsgi, api: Wsgi, gateway: WsgiGateway, parts: Parts, prefix: str) -> None:
        self._inner = inner
        self._api = api
        self._gateway = gateway
        self._parts = parts
        self._prefix = prefix

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""
        # gunicorn --preload makes the app in its master; threads do not follow into the web workers.
        self._parts.ensure_started()
        raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        path = after_prefix(raw.encode("latin-1").decode("utf-8", "replace"), self._prefix)
        if path is not None and path.startswith(PREFIXES):
            return self._gateway(environ, start_response, path)
        if path is not None and is_control(path):
            return self._api(environ, start_response)
        return self._inner(environ, start_response)


def _path(scope: Message) -> str:
    """The path without the server's ``--root-path``, which uvicorn puts before it."""
    path: str = scope["path"]
    root: str = scope.get("root_path", "")
    return path[len(root) :] if root and path.startswith(root + "/") else path
