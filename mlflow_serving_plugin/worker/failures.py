"""Errors that MLflow's scoring server has no words for: a prediction without a JSON form, a body that is not parsed."""

from __future__ import annotations

import json
import re
import traceback
from typing import Any

_NOT_SERIALIZABLE = re.compile(r"Object of type (\S+) is not JSON serializable")
_KEYS = re.compile(r"keys must be .*, not (\S+)")
_ENCODES = "predictions_to_json"
"""The function of the scoring server that writes predictions; its namesake ends in the same."""


def explain(error: Exception) -> tuple[int, str]:
    """Status and body for an error that escaped from ``scoring_server.invocations``; MLflow itself answers 500.

    500 when the prediction could not be written; 400 when the body could not be read, which the model never saw.
    """
    found, prediction = _prediction(error)
    if found:
        said = f"The prediction cannot be sent: the model returned {_without_json_form(error, prediction)}."
        return 500, document("INTERNAL_ERROR", said, trace_of(error))
    why = "too deeply nested" if isinstance(error, RecursionError) else f"{type(error).__name__} while it was read"
    return 400, document("BAD_REQUEST", f"The request body does not fit the model: {why}.", trace_of(error))


def is_short_of_memory(error: BaseException) -> bool:
    """Whether an error, or what it was raised for, is that there is no memory."""
    seen: BaseException | None = error
    while seen is not None and not isinstance(seen, MemoryError):
        seen = seen.__cause__ or seen.__context__
    return seen is not None


def document(error_code: str, message: str, stack_trace: str) -> str:
    """An error in MLflow's shape."""
    return json.dumps({"error_code": error_code, "message": message, "stack_trace": stack_trace})


def trace_of(error: BaseException) -> str:
    """The traceback of an error as text."""
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


def _prediction(error: Exception) -> tuple[bool, Any]:
    """Whether the error was raised while a prediction was written, and that prediction."""
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_name.endswith(_ENCODES):
            return True, step.tb_frame.f_locals.get("raw_predictions")
        step = step.tb_next
    return False, None


def _without_json_form(error: Exception, prediction: Any) -> str:
    whole = type(prediction).__name__
    part = _NOT_SERIALIZABLE.search(str(error))
    if part is not None and part[1] != whole:
        return f"{_a(part[1])}, which has no JSON form (within {_a(whole)})"
    keys = _KEYS.search(str(error))
    if keys is not None:
        return f"{_a(whole)} with names of type {keys[1]}, which has no JSON form"
    return f"{_a(whole)}, which has no JSON form"


def _a(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" or noun == "ndarray" else f"a {noun}"
