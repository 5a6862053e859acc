"""The front of the control APIs: judges a request by its head, then reads its body, then has the Flask app answer.

Driven by the same drivers as the gateway's core. Fed with heads; feeds ``api.app``. Path, method, length, forgery and
credentials are checked before a byte of the body is read, and a body is read before a thread is taken.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from flask import Flask
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

from mlflow_serving_plugin.access.base import Access, User
from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.api.app import LARGEST_BODY_BYTES
from mlflow_serving_plugin.api.requests import CALLER, REFUSAL, WELL_KNOWN_PATH
from mlflow_serving_plugin.api.server import HEALTH_PATH
from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.gateway.limits import BodyMemory, Reservation, declared_length, refuse_lost_body
from mlflow_serving_plugin.gateway.messages import LANE_OF, Head, Lane, ReadBody, Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.tarpit import Tarpit

_logger = logging.getLogger(__name__)


class Control:
    """Answers the requests at ``api.app.PATHS``. Thread-safe.

    ``rules`` None: forged requests are not refused. ``memory`` is shared with the bodies of scoring requests.
    ``prefix``: ``--static-prefix``, which the app's own paths include.
    """

    def __init__(
        self, app: Flask, access: Access, *, rules: BrowserRules | None, memory: BodyMemory, prefix: str = ""
    ) -> None:
        self._app = app
        self._access = access
        self._tarpit = Tarpit(access)
        self._rules = rules
        self._memory = memory
        self._prefix = prefix.rstrip("/")
        self._paths = app.url_map.bind("")

    def respond(self, head: Head) -> Steps[Reply]:
        """Answer one request: yields steps, returns the reply. Every error becomes a reply."""
        try:
            if self._is_for_everybody(head):
                # Needs neither a thread nor a body, so nobody can keep the answer from anybody.
                return self._answer(head)
            with self._reserved() as reservation:
                return (yield from self._answer_caller(head, reservation))
        except ServingError as refusal:
            return self._answer(head, refusal=refusal)
        except Exception:
            _logger.exception("%s %s failed.", head.method, head.path)
            return self._answer(head, refusal=ServingError("The server failed; the server's log has the reason."))

    def _answer_caller(self, head: Head, reservation: Reservation) -> Steps[Reply]:
        if self._rules is not None:
            refuse_forged(self._rules, head.method, head.headers)
        length = declared_length(head.headers, LARGEST_BODY_BYTES)
        yield from self._tarpit.pass_by(head)
        identify = partial(self._access.identify, head.headers, head.client)
        if self._access.blocking:
            lane = LANE_OF[self._access.check(head.headers)]
            caller: User = yield RunBlocking(identify, lane)
        else:
            caller = identify()
        body: bytes = yield ReadBody(length, LARGEST_BODY_BYTES, reservation)
        refuse_lost_body(head.headers, body)
        reply: Reply = yield RunBlocking(partial(self._answer, head, body, caller), Lane.CONTROL)
        return reply

    def _is_for_everybody(self, head: Head) -> bool:
        """Whether the answer depends on neither caller nor body: health, a CORS preflight, a wrong path or method."""
        if head.path in (HEALTH_PATH, WELL_KNOWN_PATH) or head.method == "OPTIONS":
            return True
        try:
            self._paths.match(self._prefix + head.path, method=head.method)
        except HTTPException:
            return True
        return False

    @contextmanager
    def _reserved(self) -> Iterator[Reservation]:
        reservation = self._memory.reserve()
        try:
            yield reservation
        finally:
            reservation.release()

    def _answer(
        self, head: Head, body: bytes = b"", caller: User | None = None, *, refusal: ServingError | None = None
    ) -> Reply:
        """The app's answer. A refusal passes through the app too, which adds the headers of every answer."""
        environ = _environ(head, self._prefix, body) | {CALLER: caller, REFUSAL: refusal}
        response = Response.from_app(self._app, environ, buffered=True)
        return Reply(response.status_code, list(response.headers), response.get_data())


def _environ(head: Head, prefix: str, body: bytes) -> dict[str, Any]:
    host, _, port = head.headers.get("host", "localhost").rpartition(":")
    environ = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": (prefix + head.path).encode().decode("latin-1"),
        "QUERY_STRING": head.query.decode("latin-1"),
        "REMOTE_ADDR": head.client,
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port if port.isdigit() else "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": head.scheme or "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    environ |= {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in head.headers.items()}
    # The body is here as a whole, however it came.
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    environ.pop("HTTP_CONTENT_LENGTH", None)
    return environ | {"CONTENT_TYPE": environ.pop("HTTP_CONTENT_TYPE", ""), "CONTENT_LENGTH": str(len(body))}
