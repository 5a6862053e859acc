"""JSON as MLflow's scoring servers read and write it: also bare ``NaN`` and ``Infinity``, which are not JSON."""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import orjson

from mlflow_serving_plugin.errors import BadRequestError

_LARGE_BYTES = 64 * 1024
_CLOSING = {b"[": b"]", b"{": b"}"}
_PIECE = 256 * 1024
"""Bytes that are looked at together: no other request is served meanwhile, where a call holds Python's lock."""

_NO_MARKS = bytes(set(range(256)) - set(b'"[]{}'))


def parse(body: bytes) -> Any:
    """The document in a request body; BadRequestError, without the data, when the body is not JSON in UTF-8."""
    try:
        return _without_collections(orjson.loads, body)
    except orjson.JSONDecodeError:
        pass
    # MLflow also takes some documents that orjson refuses: bare NaN and Infinity, lone surrogates.
    try:
        return _without_collections(json.loads, body.decode())
    except UnicodeDecodeError:
        raise _not_json("it is not valid UTF-8") from None
    except json.JSONDecodeError as error:
        raise _not_json(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
    except (ValueError, RecursionError):
        raise _not_json("too deep, or a number is too long") from None


def require_brackets(body: bytes, opening: bytes) -> None:
    """BadRequestError unless the body is one list (``opening`` is ``[``) or object (``{``), as far as brackets tell.

    What is between the brackets, the worker judges: the body can be put under a field and adds no other field. Takes
    a fraction of the memory that parsing takes.
    """
    inside = body.strip(b" \t\r\n")
    if inside[:1] != opening or inside[-1:] != _CLOSING[opening]:
        raise _not_json(f"the body must begin with {opening.decode()} and end with {_CLOSING[opening].decode()}")
    quotes, depth, left = 0, 0, b""
    for start in range(0, len(inside), _PIECE):
        piece, left = _unescaped(left + inside[start : start + _PIECE])
        marks = np.frombuffer(piece.translate(None, _NO_MARKS), dtype=np.uint8)
        quoting = marks == ord('"')
        texts = quotes + np.cumsum(quoting, dtype=np.int32)
        brackets = marks[(texts % 2 == 0) & ~quoting]
        quotes += int(np.count_nonzero(quoting))
        if not len(brackets):
            continue
        # ASCII: divided by 4, [ and { leave 3, ] and } leave 1.
        depths = depth + np.cumsum((brackets % 4).astype(np.int8) - 2, dtype=np.int32)
        # Only the last bracket of all leads out of the list or object.
        if (depth < 1 and start > 0) or bool((depths[:-1] < 1).any()):
            raise _no_counterpart()
        depth = int(depths[-1])
    if quotes % 2 or depth != 0:
        raise _no_counterpart()


def _unescaped(piece: bytes) -> tuple[bytes, bytes]:
    """The piece without escaped quotation marks, and a backslash at its end that belongs to the next piece.

    A backslash outside of a text is an error of its own, which the worker finds.
    """
    if b"\\" not in piece:
        return piece, b""
    piece = piece.replace(b"\\\\", b"").replace(b'\\"', b"")
    return (piece[:-1], b"\\") if piece.endswith(b"\\") else (piece, b"")


def _no_counterpart() -> BadRequestError:
    return _not_json("a bracket or a quotation mark has no counterpart")


def _without_collections(loads: Callable[[Any], Any], text: bytes | str) -> Any:
    """Parse while the garbage collector rests: collecting takes several times as long as parsing a large body.

    Parsing makes no garbage, and no other thread runs meanwhile. A thread that comes between the lines at worst
    parses with collections.
    """
    if len(text) < _LARGE_BYTES or not gc.isenabled():
        return loads(text)
    gc.disable()
    try:
        return loads(text)
    finally:
        gc.enable()


def _not_json(why: str) -> BadRequestError:
    """With the words that MLflow 2 and 3 have in common, which clients look for."""
    return BadRequestError(
        f"The request body is not valid JSON: {why}. Ensure that input is a valid JSON formatted string."
    )


def require_utf8(body: bytes) -> None:
    """BadRequestError unless the body is UTF-8."""
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadRequestError("The request body is not valid UTF-8.") from None
