"""Reads a worker's error about the model's own input example. Pure.

An error of a model may quote any of the example's data, so a reason or note holds no text of the model: only what the
table of advice knows, sentences of MLflow that hold none but names and types of the signature, and the error's class.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from mlflow_serving_plugin.domain.advice import advice_for, explain, shorten
from mlflow_serving_plugin.domain.entity import Example

_LAST_LINE = re.compile(r"^(?P<name>[A-Za-z_][\w.]*)(?::.*)?$")
_WITHOUT_DATA = tuple(
    re.compile(pattern)
    for pattern in (
        r"Incompatible input types for column .{1,100}?\. Can not safely convert [\w<>\[\], ]+? to [\w<>\[\], ]+?\.",
        r"Model is missing inputs \[[^\]]{1,300}\]\.",
        r"Failed to convert column .{1,100}? to type '[^']{1,60}'\.",
        r"Please ensure that the input data of datetime column only contains timezone-naive datetime objects\.",
        r"Shape of input .{1,100}? does not match expected shape .{1,100}?\.",
        r"the model returned an? [^.]{1,100}, which has no JSON form",
    )
)


class Refusal(NamedTuple):
    """What a worker said of an example, in words without data.

    ``any_body``: every request would be told the same. ``raised``: the model, or MLflow for the model, raised an error.
    """

    any_body: bool
    said: str
    raised: bool = False


def read_refusal(status: int, body: bytes) -> Refusal:
    """What a worker's answer, which was not 200, means for the model's version."""
    error = _document(body)
    message, trace = str(error.get("message") or ""), str(error.get("stack_trace") or "")
    last = _last_line(trace)
    row = advice_for(last, "predict", trace)
    if row is not None and row.any_body:
        return Refusal(True, explain(last, "predict", trace), raised=True)
    said = _without_data(message) or _class_of(last) or str(error.get("error_code") or f"status {status}")
    return Refusal(False, said, raised=bool(error.get("error_code")))


def note_on(refused: Example, said: str, scored: Example | None) -> str:
    """The note on a version that refuses its own example: ``scored`` is the form of the example that it takes."""
    if scored is None:
        return f"The model refuses its own input example: {said}. Other requests may be scored."
    return (
        f"The model refuses its own input example as {_field(refused)}: {said}. "
        f"The model takes the same example as {_field(scored)}."
    )


def _field(example: Example) -> str:
    """The field of the body that holds the example."""
    return next((name for name in _document(example.body) if name != "params"), "it is")


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _last_line(trace: str) -> str:
    """The line of the traceback that names the exception; the exception's text may go on for many lines."""
    lines = trace.splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    after = lines[frames[-1] + 1 :] if frames else lines
    return next((line for line in after if _LAST_LINE.match(line)), "")


def _without_data(message: str) -> str:
    for pattern in _WITHOUT_DATA:
        if found := pattern.search(message):
            return shorten(found[0]).rstrip(".")
    return ""


def _class_of(last: str) -> str:
    found = _LAST_LINE.match(last)
    return f"{found['name'].rpartition('.')[2]}, see the version's log" if found else ""
