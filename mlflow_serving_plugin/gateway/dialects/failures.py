"""Turns a worker's answer other than 200 into a failure, and a failure into MLflow's shape of an error.

Statuses and bodies are those of MLflow's scoring server (``{"error_code", "message"}``), with these differences: no
traceback unless asked for, no path of the server, none of the caller's data.
"""

from __future__ import annotations

import json
from typing import Any

from mlflow_serving_plugin.domain.advice import advise
from mlflow_serving_plugin.domain.places import without_places
from mlflow_serving_plugin.errors import (
    BadRequestError,
    BodyTooLargeError,
    DeadlineError,
    ServingError,
    UnsupportedTypeError,
)
from mlflow_serving_plugin.gateway.dialects.base import Failure, Refusal, ScoringRequest, failure_of
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.json_text import parse
from mlflow_serving_plugin.worker.redact import (
    LONGEST_MESSAGE,
    last_words,
    redact,
    without_traceback,
)

UNEXPECTED = "The model's server failed without a reason: the prediction may have no JSON form. See the version's log."
"""About a 500 of ``mlflow models serve`` without a body in MLflow's shape."""


def explain(status: int, body: bytes, *, debug: bool, sent: ScoringRequest | None = None) -> Failure:
    """The failure behind a worker's answer, which was not 200, to the request that was ``sent``.

    ``debug``: with the model's traceback.
    """
    document = _error_document(body)
    if document is not None and status >= 400:
        stack_trace = str(document.get("stack_trace") or "") if debug else ""
        return Failure(status, str(document["error_code"]), _message(document), stack_trace=stack_trace)
    if status == 413:
        return failure_of(BodyTooLargeError("The request body is too large for the model's worker."))
    if status == 415:
        return failure_of(UnsupportedTypeError(redact(body.decode(errors="replace"))))
    if status == 504:
        return failure_of(DeadlineError("The prediction took longer than the model's worker allows."))
    return _unexplained(sent)


def _unexplained(sent: ScoringRequest | None) -> Failure:
    """``mlflow models serve`` fails alike on a prediction that it cannot write and on a body that it cannot read."""
    try:
        if sent is not None and sent.content_type.startswith(JSON):
            parse(sent.body)
    except BadRequestError as error:
        return failure_of(error)
    return failure_of(ServingError(UNEXPECTED))


def refusal(failure: Failure) -> Refusal:
    """The failure as MLflow writes it: JSON, but plain text for an unsupported type."""
    if failure.status == 415:
        return Refusal(415, "text/plain; charset=utf-8", failure.message.encode(errors="replace"))
    return Refusal(failure.status, JSON, json.dumps(as_document(failure)).encode())


def as_document(failure: Failure) -> dict[str, str]:
    """The failure as MLflow's JSON."""
    document = {"error_code": failure.error_code, "message": failure.message}
    if failure.stack_trace:
        document["stack_trace"] = failure.stack_trace
    return document


def _error_document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if isinstance(document, dict) and document.get("error_code") and isinstance(document.get("message"), str):
        return document
    return None


def _message(document: dict[str, Any]) -> str:
    """The message without data and places, and what to do, as far as the table of advice knows the error."""
    trace = str(document.get("stack_trace") or "")
    message, words = redact(without_traceback(document["message"])), last_words(trace)
    # MLflow gives the model's own words only in the traceback, which is not shown; without them nobody can act.
    if message.startswith("Encountered an unexpected error") and words:
        message = f"{message} Error: {redact(words)}"
    # Errors of models may be of any length.
    error = (words or message).partition("\n")[0][:LONGEST_MESSAGE]
    message, advice = without_places(message), advise(error, "predict", trace)
    return f"{message.rstrip('.')}. {advice}" if advice else message
