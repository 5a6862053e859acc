"""Errors that MLflow's scoring server has no words for: a prediction without a JSON form, a body that is not parsed."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from typing import Any

from .process import say, say_error
from .redact import redact

_NOT_SERIALIZABLE = re.compile(r"Object of type (\S+) is not JSON serializable")
_KEYS = re.compile(r"keys must be .*, not (\S+)")
_ENCODES = "predictions_to_json"
"""The function of the scoring server that writes predictions; its namesake ends in the same."""

_STREAMS = "_gen_with_context"
"""The generator within ``PyFuncModel.predict_stream`` of MLflow, in which the model's own generator runs."""

_CHECKS_OF_REQUESTS = ("_validate", "_enforce")
"""How the functions of MLflow begin that compare a request with the model's signature."""


def log(error: BaseException, *, caller: bool | None = None) -> None:
    """Write the error that is handled now to the version's log: a bad request is one line, without the request's data.

    What the model itself raised keeps its traceback. ``caller``: whether the error is the caller's; None: found out by
    where the error was raised.
    """
    if is_of_the_caller(error) if caller is None else caller:
        say(f"Bad request: {_in_a_line(error)}")
    else:
        say_error()


def is_of_the_caller(error: BaseException) -> bool:
    """Whether the request was refused before the model's own code saw the request.

    That is so when no traceback leads into ``PyFuncModel.predict``, or one leads from there into MLflow's checks of a
    request. MLflow wraps what a model raises, so that the traceback may be that of the error before this one.
    """
    chain: BaseException | None = error
    while chain is not None:
        codes = [step.f_code for step, _ in traceback.walk_tb(chain.__traceback__)]
        asked = [
            at
            for at, code in enumerate(codes)
            if ("predict" in code.co_name or code.co_name == _STREAMS) and _is_in(code, "pyfunc/__init__.py")
        ]
        if asked:
            return _leads_into_checks(codes[asked[0] :])
        chain = chain.__context__
    return True


def _leads_into_checks(codes: list[Any]) -> bool:
    """Whether one of MLflow's checks was called before anything that is not MLflow's."""
    for code in codes:
        if not _is_in(code, ""):
            return False
        if code.co_name.startswith(_CHECKS_OF_REQUESTS):
            return True
    return False


def _is_in(code: Any, path: str) -> bool:
    """Whether a function is in MLflow, in the file at this path there."""
    package = os.path.dirname(sys.modules["mlflow"].__file__ or "")
    return bool(code.co_filename.startswith(os.path.join(package, path)))


def _in_a_line(error: BaseException) -> str:
    said = str(getattr(error, "message", error))
    if said.startswith("Encountered an unexpected error") and error.__context__ is not None:
        said = f"{type(error.__context__).__name__}: {error.__context__}"
    return " ".join(redact(said).split())


def drop_advice_on_instances() -> None:
    """Keep MLflow's advice about ``instances`` out of the log: MLflow gives it whatever the caller sent."""
    logging.getLogger("mlflow.pyfunc.scoring_server").addFilter(_is_no_advice_on_instances)


def _is_no_advice_on_instances(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("If using `instances` as input key")


def explain(error: Exception) -> tuple[int, str]:
    """Status and body for an error that escaped from ``scoring_server.invocations``; MLflow itself answers 500.

    500 when the prediction could not be written; 400 when the body could not be read, which the model never saw.
    """
    found, prediction = _prediction(error)
    if found:
        return 500, document("INTERNAL_ERROR", unwritable(error, prediction), trace_of(error))
    why = "too deeply nested" if isinstance(error, RecursionError) else f"{type(error).__name__} while it was read"
    return 400, document("BAD_REQUEST", f"The request body does not fit the model: {why}.", trace_of(error))


def unwritable(error: Exception, prediction: Any) -> str:
    """The message about a prediction, or an event of a stream, that has no JSON form."""
    return f"The prediction cannot be sent: the model returned {_without_json_form(error, prediction)}."


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
