"""Leaves values out of bodies by the names of fields and columns. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from mlflow_serving_plugin.domain.request_log import WHOLE_REQUEST, WHOLE_RESPONSE

REDACTED = "[REDACTED]"
_EVENT, _LAST_EVENT, _END = b"data: ", b"data: [DONE]", b"\n\n"
"""Of an answer that was streamed."""


def redact_request(body: bytes | None, names: Collection[str]) -> bytes | None:
    """The request's body without the values of the named fields."""
    return None if WHOLE_REQUEST in names else _redact(body, names)


def redact_response(body: bytes | None, names: Collection[str]) -> bytes | None:
    """The answer's body without the values of the named fields."""
    return None if WHOLE_RESPONSE in names else _redact(body, names)


def _redact(body: bytes | None, names: Collection[str]) -> bytes | None:
    """A body that is neither JSON nor events of JSON is left out, as its fields cannot be told."""
    fields = frozenset(names) - {WHOLE_REQUEST, WHOLE_RESPONSE}
    if body is None or not fields:
        return body
    try:
        if not body.startswith(_EVENT):
            return orjson.dumps(_without(orjson.loads(body), fields))
        return b"".join(_without_in_event(event, fields) + _END for event in body.split(_END) if event)
    except (ValueError, TypeError, RecursionError):
        return None


def _without_in_event(event: bytes, names: frozenset[str]) -> bytes:
    if event == _LAST_EVENT:
        return event
    return _EVENT + orjson.dumps(_without(orjson.loads(event.removeprefix(_EVENT)), names))


def _without(value: Any, names: frozenset[str]) -> Any:
    if isinstance(value, list):
        return [_without(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    plain = {key: REDACTED if key in names else _without(item, names) for key, item in value.items()}
    columns, rows = plain.get("columns"), plain.get("data")
    if isinstance(columns, list) and isinstance(rows, list):
        hidden = {index for index, column in enumerate(columns) if _is_named(column, names)}
        plain["data"] = [_without_cells(row, hidden) for row in rows] if hidden else rows
    if isinstance(plain.get("name"), str) and plain["name"] in names and "data" in plain:
        # A tensor of the Open Inference Protocol.
        plain["data"] = [REDACTED]
    return plain


def _is_named(column: Any, names: frozenset[str]) -> bool:
    """Columns of several levels come as lists, and columns without names as numbers."""
    return any(str(part) in names for part in (column if isinstance(column, list) else [column]))


def _without_cells(row: Any, hidden: set[int]) -> Any:
    if not isinstance(row, list):
        return REDACTED
    return [REDACTED if index in hidden else cell for index, cell in enumerate(row)]
