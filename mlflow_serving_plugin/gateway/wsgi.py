"""Drives the core from a WSGI server: one thread per request, which blocks."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from mlflow_serving_plugin.connections import read_around
from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.asides import BlockingAsides
from mlflow_serving_plugin.gateway.core import Gateway
from mlflow_serving_plugin.gateway.limits import BodyBuffer
from mlflow_serving_plugin.gateway.messages import (
    Aside,
    Head,
    Pause,
    Piece,
    Pieces,
    ReadBody,
    Reply,
    RunBlocking,
    Step,
    Steps,
    T,
    TakeEvents,
)
from mlflow_serving_plugin.links.base import BlockingLink, LinkContext, WorkerCall, link_for
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink
from mlflow_serving_plugin.links.http import BlockingHttpLink

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], Any]

_GUNICORN_HOLD_S = 20.0
"""gunicorn kills a sync worker after 30 s without a sign of life (its default ``timeout``), with all its requests."""

_CHUNK = 1 << 16


class WsgiGateway:
    """The gateway as a WSGI application. Thread-safe."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        context = LinkContext(gateway.snapshot, gateway.nudge, gateway.settings.overdue_grace_s)
        self._links: dict[str, BlockingLink] = {
            "http": BlockingHttpLink(context),
            "frames": BlockingFrameLink(context),
        }
        self._asides = BlockingAsides(lambda steps: self._drive(steps, {}))

    def __call__(self, environ: Environ, start_response: StartResponse, path: str) -> Iterable[bytes]:
        """Answer one request. ``path`` is the request's without the static prefix, decoded."""
        return self.serve(self._gateway.respond, environ, start_response, path)

    def serve(
        self, respond: Callable[[Head], Steps[Reply]], environ: Environ, start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        """Answer one request with the reply that ``respond`` comes to."""
        held_by_gunicorn = str(environ.get("SERVER_SOFTWARE", "")).startswith("gunicorn")
        head = Head(
            environ["REQUEST_METHOD"],
            path,
            _headers(environ),
            hold_cap_s=_GUNICORN_HOLD_S if held_by_gunicorn else None,
            client=environ.get("REMOTE_ADDR", ""),
            query=environ.get("QUERY_STRING", "").encode("latin-1"),
            scheme=environ.get("wsgi.url_scheme", "http"),
        )
        reply = self._drive(respond(head), environ)
        start_response(f"{reply.status} {HTTPStatus(reply.status).phrase}", reply.headers)
        if isinstance(reply.body, Pieces):
            return _Body(reply.body, partial(self._take, environ=environ))
        answer = read_around([reply.body], environ, start_response)
        return answer if reply.after is None else _Then(answer, partial(reply.after, self._asides.start))

    def close(self) -> None:
        """Close all idle connections to workers."""
        for link in self._links.values():
            link.close()

    def _drive(self, steps: Steps[T], environ: Environ) -> T:
        try:
            step = next(steps)
            while True:
                try:
                    result = self._take(step, environ)
                except Exception as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(result)
        except StopIteration as stop:
            return cast("T", stop.value)
        finally:
            steps.close()

    def _take(self, step: Step, environ: Environ) -> Any:
        if isinstance(step, WorkerCall):
            return link_for(self._links, step).call(step)
        if isinstance(step, ReadBody):
            with _no_longer_than(self._gateway.settings.body_timeout_s, environ):
                return _read_body(step, environ)
        if isinstance(step, Pause):
            return None if step.needless else time.sleep(step.seconds)
        if isinstance(step, RunBlocking):
            return step.function()
        if isinstance(step, TakeEvents):
            return step.stream.take()
        if isinstance(step, Aside):
            return self._asides.start(step)
        raise TypeError(f"Only a reply's body has pieces to send: {step!r}")


class _Body:
    """The body of a reply in pieces. After an error between pieces, the server closes the connection."""

    def __init__(self, pieces: Pieces, take: Callable[[Step], Any]) -> None:
        self._pieces = pieces
        self._steps = pieces.steps()
        self._take = take

    def __iter__(self) -> _Body:
        return self

    def __next__(self) -> bytes:
        step = next(self._steps)
        while not isinstance(step, Piece):
            try:
                result = self._take(step)
            except Exception as error:
                step = self._steps.throw(error)
            else:
                step = self._steps.send(result)
        return step.body

    def close(self) -> None:
        """Called by the server at the end, or when the client has left."""
        self._steps.close()
        self._pieces.close()


class _Then:
    """An answer, and what to do once the server has sent the answer."""

    def __init__(self, answer: Iterable[bytes], then: Callable[[], None]) -> None:
        self._answer = answer
        self._then = then

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._answer)

    def close(self) -> None:
        """Called by the server at the end, or when the client has left."""
        end = getattr(self._answer, "close", None)
        if end is not None:
            end()
        self._then()


@contextlib.contextmanager
def _no_longer_than(pause_s: float, environ: Environ) -> Iterator[None]:
    """Within, a client that pauses for longer is an error. gunicorn itself waits for a body without an end."""
    connection = environ.get("gunicorn.socket")
    if connection is None:
        yield
        return
    connection.settimeout(pause_s)
    try:
        yield
    finally:
        connection.settimeout(None)


def _read_body(step: ReadBody, environ: Environ) -> bytes:
    """The body; BodyTooLargeError, BadRequestError when the body does not come to its end."""
    if step.declared is None and not environ.get("wsgi.input_terminated"):
        # Nothing tells where the body ends: reading could wait for ever.
        if environ.get("HTTP_TRANSFER_ENCODING"):
            raise BadRequestError("This server needs a Content-Length with the request body.")
        return b""
    buffer = BodyBuffer(step.max_bytes, step.reservation)
    stream = environ["wsgi.input"]
    while step.declared is None or buffer.size < step.declared:
        wanted = _CHUNK if step.declared is None else step.declared - buffer.size
        try:
            chunk = stream.read(wanted)
        except Exception as error:  # each server raises its own error for a client that disconnects
            raise BadRequestError("The request body could not be read to its end.") from error
        if not chunk:
            break
        buffer.add(chunk)
    if step.declared is not None and buffer.size < step.declared:
        raise BadRequestError("The request body is shorter than its Content-Length.")
    return buffer.join()


def _headers(environ: Environ) -> dict[str, str]:
    headers = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers
