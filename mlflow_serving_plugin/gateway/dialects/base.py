"""The contract of a dialect, and what dialects and the gateway pass to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, Protocol

from mlflow_serving_plugin.errors import ServingError
from mlflow_serving_plugin.http_errors import error_status


class Failure(NamedTuple):
    """What went wrong with a request, before a dialect gives it a shape."""

    status: int
    error_code: str
    message: str
    retryable: bool = False
    """Whether the same request may succeed later, so that clients should poll."""
    stack_trace: str = ""
    """The model's traceback; only with the setting ``debug``."""


class Refusal(NamedTuple):
    """An error as the client gets it."""

    status: int
    content_type: str
    body: bytes


class ReplyFormat(Protocol):
    """How predictions and errors are written for a client."""

    def answer(self, body: bytes) -> bytes:
        """The client's body for a worker's predictions, ``{"predictions": …}``."""

    def refuse(self, failure: Failure) -> Refusal:
        """The client's answer for an error."""

    def event(self, event: bytes) -> bytes:
        """An event of the model as the client gets it: JSON in one line."""

    def error_event(self, failure: Failure) -> object:
        """The error within a stream that has begun, as a value for JSON."""


class Asked(NamedTuple):
    """What a client tells, or wants, beside the model's input and answer."""

    client_request_id: str | None = None
    trace: bool = False
    """The trace in the answer, as Databricks' ``databricks_options.return_trace`` asks."""
    trace_id: bool = False
    """The trace's id in the answer, as the header ``x-mlflow-return-trace-id`` of MLflow's agent server asks."""


class ScoringRequest(NamedTuple):
    """A request body in the form that workers take: MLflow 2's. ``reply_format`` writes the reply."""

    content_type: str
    body: bytes
    reply_format: ReplyFormat
    stream: bool = False
    """Whether the answer is to come event by event."""
    asked: Asked = Asked()
    """What the client wants beside the answer."""


Reader = Callable[[bytes], ScoringRequest]
"""Reads a request body; BadRequestError for a malformed body."""


class Dialect(ReplyFormat, Protocol):
    """What a path speaks. ``answer`` and ``refuse`` serve requests whose body has not been read."""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader for a body with these headers (names in lower case).

        ``default``: the endpoint's ``default_dialect``. UnsupportedTypeError or BadRequestError for headers that rule
        the request out before its body is read.
        """


def failure_of(error: ServingError) -> Failure:
    """One of our own errors as a failure."""
    return Failure(error_status(error), error.error_code, error.message, error.retryable)
