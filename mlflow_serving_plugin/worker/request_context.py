"""What a model may ask of the request that it answers, and the traces that the model makes meanwhile.

The gateway sends the context as JSON: ``request_id``, ``client_request_id``, ``user``, ``headers`` (an object),
``endpoint_name``, ``model_version``, and ``trace``, whether traces are wanted. The model finds them in MLflow's
prediction context, ``mlflow.pyfunc.context.get_prediction_context()``, which MLflow has since 2.14.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from typing import Any, ContextManager, Iterator

LARGEST_TRACE_BYTES = 4 * 1024 * 1024
MOST_TRACES = 16
"""Of one request. Of each further trace, and of each that is larger, the gateway only learns that there was one."""

_current = threading.local()
_NOTHING: ContextManager[None] = contextlib.nullcontext()
_SHOWN = ("client_request_id", "user", "headers", "model_version")
"""What MLflow's context has no field for, and gets as further attributes."""


class RequestContext:
    """One request's context, from its JSON. Entered in the thread in which the model's code runs."""

    __slots__ = ("_document", "_mlflows", "_text", "_traces", "began_ms")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._document: dict[str, Any] | None = None
        self._mlflows: Any = None
        self._traces: list[bytes] = []
        self.began_ms = int(time.time() * 1000)

    @property
    def wants_traces(self) -> bool:
        """Whether the gateway takes the traces of this request."""
        return bool(self._read().get("trace"))

    def add_trace(self, trace: bytes) -> None:
        """Keep a trace until the request is answered. Empty: a trace that cannot be sent."""
        if len(self._traces) >= 2 * MOST_TRACES:
            return
        fits = len(trace) <= LARGEST_TRACE_BYTES and len(self._traces) < MOST_TRACES
        self._traces.append(trace if fits else b"")

    def take_traces(self) -> list[bytes]:
        """The traces that were kept."""
        traces, self._traces = self._traces, []
        return traces

    def mlflows(self) -> Any:
        """The context as MLflow's ``Context``; None with an MLflow that has none."""
        if self._mlflows is None:
            with contextlib.suppress(ImportError):
                from mlflow.pyfunc.context import Context

                given = self._read()
                made = Context(request_id=given.get("request_id"))
                made.endpoint_name = given.get("endpoint_name")
                for name in _SHOWN:
                    setattr(made, name, given.get(name))
                self._mlflows = made
        return self._mlflows

    def _read(self) -> dict[str, Any]:
        if self._document is None:
            self._document = dict(json.loads(self._text))
        return self._document


def during(context: RequestContext | None) -> ContextManager[None]:
    """Around the model's code for one request, in the same thread. None: the model is told nothing."""
    return _NOTHING if context is None else _entered(context)


def current() -> RequestContext | None:
    """The context of the request that this thread answers."""
    return getattr(_current, "context", None)


@contextlib.contextmanager
def _entered(context: RequestContext) -> Iterator[None]:
    mlflows = context.mlflows()
    _current.context = context
    try:
        if mlflows is None:
            yield
        else:
            from mlflow.pyfunc.context import set_prediction_context

            with set_prediction_context(mlflows):
                yield
    finally:
        _current.context = None
