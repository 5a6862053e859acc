"""Takes the caller's data out of messages of MLflow's scoring server. Pure.

Column names and types stay: they tell the caller what to correct. Values go. The forms below are those of
``mlflow/pyfunc/scoring_server/__init__.py``, ``mlflow/utils/proto_json_utils.py``, ``mlflow/models/utils.py``,
``mlflow/types/type_hints.py`` (MLflow 2 and 3) and of the pandas, numpy and pydantic errors that they quote.
"""

from __future__ import annotations

import re

LONGEST_MESSAGE = 1000
"""Characters. A model may put anything into its messages."""

_LONGEST_SEARCHED = 20_000

_SPANS = (
    # (start, end, replacement of both and of all between). From the first start to the last end, since the data between
    # may look like either. Without the end, the rest of the message goes. Outermost spans first.
    ("Failed to predict data '", "'. \nError: ", "Failed to predict. Error: "),
    ("Failed to enforce schema of data '", "'. Error: ", "Failed to enforce schema. Error: "),
    ("Failed to enforce schema of data `", "` with dtype `", "Failed to enforce schema with dtype `"),
    ("Failed to enforce schema of '", "' with type '", "Failed to enforce schema with type '"),
    ("Failed to convert data type for data `", "` with spec `", "Failed to convert data with spec `"),
    ("Failed to convert data `", "` to type `", "Failed to convert data to type `"),
    ("Failed to convert value `", "` from type `", "Failed to convert value from type `"),
    ("; passed data: ", ". Check https://", ". Check https://"),
)

_TAILS = (
    # (start, replacement of the start and of all that follows)
    ("\nInput: \n", ""),
    (", invalid elements: ", "."),
    (" IMPORTANT: The MLflow Model scoring protocol has changed", ""),
    ("valid UTF-8 encoded string. Error: ", "valid UTF-8 encoded string."),
)

_VALUES = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"(Failed to convert column .{0,200}? to type '.{0,200}?'\.) Error: .*", r"\1"),
        (r"(could not convert string to \w+)\b.*", r"\1"),
        (r"(invalid literal for int\(\) with base \d+).*", r"\1"),
        (r"could not convert ['\"].*", "could not convert a value"),
        (r"(Unable to parse string) .*", r"\1"),
        (r"(Error parsing datetime string) .*", r"\1"),
        (r"(Unknown (?:datetime )?string format).*", r"\1"),
        (r"(Invalid isoformat string).*", r"\1"),
        (r"(Out of bounds (?:nanosecond|datetime) timestamp).*", r"\1"),
        (r"Given date string .*", "Given date string not likely a datetime"),
        (r"time data .*", "time data doesn't match the format"),
        (r"\bgot `.*`", "got another value"),
        (r"(Can not safely convert `.{0,200}?` to `.{0,200}?`) for value `.*`", r"\1"),
        (r"(UnicodeDecodeError)\(.*", r"\1"),
        (r"input_value=[^\n]*(?=, input_type=)", "input_value=…"),
    )
)

_TRACEBACK = "Traceback (most recent call last):"

_JSON_ERROR = re.compile(r"JSONDecodeError\(.([A-Z][^0-9]{0,80}line \d+ column \d+ \(char \d+\))")
_NOT_JSON = "valid JSON formatted string. Error: "


def redact(message: str) -> str:
    """The message without values that the caller sent, at most LONGEST_MESSAGE characters and an ellipsis."""
    message = _without_document(message)
    for start, end, substitute in _SPANS:
        message = _replace_span(message, start, end, substitute)
    for start, substitute in _TAILS:
        head, found, _ = message.partition(start)
        message = head + substitute if found else message
    message = message[:_LONGEST_SEARCHED]
    for pattern, substitute in _VALUES:
        message = pattern.sub(substitute, message)
    message = message.strip()
    return message if len(message) <= LONGEST_MESSAGE else message[:LONGEST_MESSAGE] + "…"


def _without_document(message: str) -> str:
    """The error about a body that is not JSON, with the reason and the place, without the body."""
    head, found, tail = message.partition(_NOT_JSON)
    if not found:
        return message
    reason = _JSON_ERROR.search(tail[:300])
    return f"{head}valid JSON formatted string." + (f" {reason[1]}." if reason else "")


def _replace_span(message: str, start: str, end: str, substitute: str) -> str:
    begins = message.find(start)
    if begins < 0:
        return message
    ends = message.rfind(end)
    rest = message[ends + len(end) :] if ends > begins else ""
    return message[:begins] + substitute + rest


def last_words(stack_trace: str) -> str:
    """The exception at the end of a Python traceback: ``ValueError: …``, without its frames; may be empty."""
    lines = stack_trace.rstrip().splitlines()
    frames = [number for number, line in enumerate(lines) if line.startswith("  File ")]
    rest = lines[frames[-1] + 1 :] if frames else lines[-1:]
    while rest and rest[0].startswith("    "):
        rest = rest[1:]
    return "\n".join(rest).strip()


def without_traceback(message: str) -> str:
    """The message with the exception alone for a traceback in it, also for one that was quoted as a Python string."""
    head, found, trace = message.partition(_TRACEBACK)
    if not found:
        return message
    if "\n" not in trace.strip():
        trace = trace.replace("\\n", "\n")
    return f"{head.strip()} {last_words(trace)}".strip()
