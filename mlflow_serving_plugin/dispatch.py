"""The outermost ASGI and WSGI callables: mounted paths go to their handlers, all other paths to MLflow, untouched."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from mlflow_serving_plugin.background import Background
from mlflow_serving_plugin.connections import path_of

_logger = logging.getLogger(__name__)

Message = dict[str, Any]
Asgi = Callable[..., Awaitable[Any]]
Wsgi = Callable[..., Iterable[bytes]]
Handler = Callable[..., Any]
"""An ASGI or WSGI callable with one more argument: the path after ``--static-prefix``, percent-decoded."""


class Mounts:
    """Finds the handler of a path. ``handlers``: by path; ``prefix``: ``--static-prefix``.

    A handler answers at its path and at all paths below; only at those below when its path ends with a slash.
    """

    def __init__(self, handlers: Mapping[str, Handler], prefix: str = "") -> None:
        self._handlers = tuple(handlers.items())
        self._prefix = prefix

    def find(self, path: str) -> tuple[Handler, str] | None:
        """The handler of a path, and the path after the prefix; None for one of MLflow's paths."""
        if self._prefix:
            if not path.startswith(self._prefix + "/"):
                return None
            path = path[len(self._prefix) :]
        for mounted, handler in self._handlers:
            if path.startswith(mounted) and (mounted[-1] == "/" or path[len(mounted) : len(mounted) + 1] in ("", "/")):
                return handler, path
        return None


def settle_heap() -> None:
    """Hide all objects that exist after start-up from the garbage collector.

    A web worker holds a million objects that live as long as the process; scanning them costs scoring a fifth of
    its time.
    """
    gc.collect()
    gc.freeze()


class AsgiDispatch:
    """The app under uvicorn. ``close`` ends what belongs to the event loop, before the services stop."""

    def __init__(
        self, inner: Asgi, mounts: Mounts, background: Background, close: Callable[[], Awaitable[None]]
    ) -> None:
        self._inner = inner
        self._mounts = mounts
        self._background = background
        self._close = close

    async def __call__(self, scope: Message, receive: Any, send: Any) -> None:
        """One connection, request or lifespan."""
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] == "http" and (found := self._mounts.find(path_of(scope))) is not None:
            self._background.ensure_started()
            handler, path = found
            await handler(scope, receive, send, path)
        else:
            await self._inner(scope, receive, send)

    async def _lifespan(self, scope: Message, receive: Any, send: Any) -> None:
        """MLflow's own lifespan inside ours. An inner app without a lifespan is left out, as uvicorn would."""
        started = False

        async def receive_and_stop() -> Message:
            message: Message = await receive()
            if message["type"] == "lifespan.shutdown":
                await self._close()
                await asyncio.to_thread(self._background.stop)
            return message

        async def start_and_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "lifespan.startup.complete":
                started = True
                await asyncio.to_thread(self._background.ensure_started)
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


class WsgiDispatch:
    """The app under gunicorn and waitress."""

    def __init__(self, inner: Wsgi, mounts: Mounts, background: Background) -> None:
        self._inner = inner
        self._mounts = mounts
        self._background = background

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """One request."""
        # gunicorn --preload makes the app in its master; threads do not follow into the web workers.
        self._background.ensure_started()
        raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
        found = self._mounts.find(raw.encode("latin-1").decode("utf-8", "replace"))
        if found is None:
            return self._inner(environ, start_response)
        handler, path = found
        answer: Iterable[bytes] = handler(environ, start_response, path)
        return answer
