"""JSON as MLflow's scoring servers read and write it: also bare ``NaN`` and ``Infinity``, which are not JSON."""

from __future__ import annotations

import json
from typing import Any

import orjson

from mlflow_serving_plugin.errors import BadRequestError


def parse(body: bytes) -> Any:
    """The document in a request body; BadRequestError, without the data, when the body is not JSON in UTF-8."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # MLflow also takes some documents that orjson refuses: bare NaN and Infinity, lone surrogates.
    require_utf8(body)
    try:
        return json.loads(body.decode())
    except json.JSONDecodeError as error:
        place = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BadRequestError(f"The request body is not valid JSON: {place}.") from None
    except (ValueError, RecursionError):
        raise BadRequestError("The request body is not valid JSON: too deep, or a number is too long.") from None


def require_utf8(body: bytes) -> None:
    """BadRequestError unless the body is UTF-8."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadRequestError("The request body is not valid UTF-8.") from None
