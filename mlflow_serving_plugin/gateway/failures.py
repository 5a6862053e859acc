"""Turns a worker's answer other than 200 into what the client gets. Pure.

Statuses and bodies are those of MLflow's scoring server (``{"error_code", "message"}``), with these
differences: no traceback unless asked for, no data of the caller's, and no 5xx for what is wrong with a request.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.errors import (
    BadRequestError,
    BodyTooLargeError,
    DeadlineError,
    ServingError,
    UnsupportedTypeError,
)
from mlflow_serving_plugin.gateway.dialects import JSON
from mlflow_serving_plugin.gateway.redact import last_words, redact
from mlflow_serving_plugin.http_errors import error_body, error_status
from mlflow_serving_plugin.links.calls import WorkerReply

UNEXPECTED = (
    "The model could not score this request: the body does not fit the model, or the prediction is no valid JSON."
)


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as the client gets it."""

    status: int
    content_type: str
    body: bytes


def explain(reply: WorkerReply, *, debug: bool, legacy: bool) -> Failure:
    """What the client gets for a worker's failure. ``debug``: with the model's traceback."""
    if reply.status == 413:
        return render(BodyTooLargeError("The request body is too large for the model's worker."), legacy=legacy)
    if reply.status == 415:
        return render(UnsupportedTypeError(redact(reply.body.decode(errors="replace"))), legacy=legacy)
    if reply.status == 504:
        return render(DeadlineError("The prediction took longer than the model's worker allows."), legacy=legacy)
    document = _error_document(reply.body)
    if document is None:
        return render(BadRequestError(UNEXPECTED), legacy=legacy)
    status, code = (reply.status, str(document["error_code"])) if 400 <= reply.status < 500 else (400, "BAD_REQUEST")
    if legacy and status == 400:
        code = "BAD_REQUEST"
    answer = {"error_code": code, "message": _message(document)}
    if debug and document.get("stack_trace"):
        answer["stack_trace"] = str(document["stack_trace"])
    return Failure(status, JSON, json.dumps(answer).encode())


def render(error: ServingError, *, legacy: bool) -> Failure:
    """An error of our own. In the legacy dialect "try again" (503) is 404: the old product's clients poll on that."""
    status = error_status(error)
    if status == 415:
        return Failure(415, "text/plain; charset=utf-8", error.message.encode(errors="replace"))
    if legacy and status == 400:
        error = BadRequestError(error.message)
    if legacy and status == 503 and error.retry_after_s is not None:
        status = 404
    return Failure(status, JSON, error_body(error))


def _error_document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and document.get("error_code") and isinstance(document.get("message"), str):
        return document
    return None


def _message(document: dict[str, Any]) -> str:
    message = redact(document["message"])
    # MLflow gives a model's own words only in the traceback, which is not shown; without them nobody can act.
    if message.startswith("Encountered an unexpected error") and (
        words := last_words(str(document.get("stack_trace") or ""))
    ):
        return f"{message} Error: {redact(words)}"
    return message
