"""Recognises the dialect of a scoring request and rewraps its body into the canonical one. Pure.

Fed by the core with headers and body; its result goes to a worker. The legacy dialect is that of the scoring
server of MLflow 1.x, the canonical one that of MLflow 2 and 3 (``mlflow/pyfunc/scoring_server``). Bodies are
wrapped by joining bytes; those that begin with a canonical field are not even parsed.
"""

from __future__ import annotations

import codecs
import json
import re
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from mlflow_serving_plugin.errors import BadRequestError, UnsupportedTypeError

JSON = "application/json"
JSON_NUMPY_SPLIT = "application/json-numpy-split"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"

SUPPORTED_TYPES = (
    JSON,
    f"{JSON}; format=pandas-records",
    f"{JSON}; format=pandas-split",
    JSON_NUMPY_SPLIT,
    CSV,
    PARQUET,
)

_LONGEST_TYPE = 256
"""Characters. What is longer would only fill the cache of headers that have been read."""

_FORMATS = frozenset({"pandas-records", "pandas-split"})
_TENSOR_FIELDS = frozenset({"instances", "inputs"})
_CANONICAL_FIELDS = _TENSOR_FIELDS | {"dataframe_split", "dataframe_records", "messages", "prompt", "input"}
_FIRST_FIELD = re.compile(
    rb'[ \t\r\n]*\{[ \t\r\n]*"(dataframe_split|dataframe_records|instances|inputs|messages|prompt|input)"[ \t\r\n]*:'
)


class Declared(NamedTuple):
    """What the headers say about the body: ``mime`` type, ``format`` parameter, and the dialect where both fit."""

    mime: str
    format: str | None
    prefer_legacy: bool


class Recognised(NamedTuple):
    """A body in the canonical dialect. ``legacy``: the client expects bare predictions and errors of MLflow 1.x."""

    content_type: str
    body: bytes
    legacy: bool


@lru_cache(maxsize=1024)
def read_declared(content_type: str | None, dialect_header: str | None, default_dialect: str) -> Declared:
    """Read ``Content-Type`` and ``X-MLflow-Scoring-Dialect``.

    Raises UnsupportedTypeError for a type, parameter, format or charset that is not supported, and
    BadRequestError for a dialect that is neither ``legacy`` nor ``modern``.
    """
    dialect = (dialect_header or default_dialect).strip().lower()
    if dialect not in {"legacy", "modern"}:
        raise BadRequestError("The header X-MLflow-Scoring-Dialect must be 'legacy' or 'modern'.")
    if len(content_type or "") > _LONGEST_TYPE:
        raise UnsupportedTypeError("The Content-Type is too long.")
    mime, parameters = _split_content_type(content_type or "")
    if mime not in {JSON, JSON_NUMPY_SPLIT, CSV, PARQUET}:
        raise UnsupportedTypeError(
            f"This predictor only supports the following content types: {', '.join(SUPPORTED_TYPES)}. "
            + (f"Got '{mime[:100]}'." if mime else "The request has no Content-Type.")
        )
    format_name = None
    for key, value in parameters:
        if key == "charset":
            if value != "utf-8":
                raise UnsupportedTypeError("The scoring server only supports UTF-8")
        elif key == "format" and mime == JSON and value in _FORMATS:
            format_name = value
        elif key == "format":
            raise UnsupportedTypeError(f"Unsupported format '{value[:100]}' for content type '{mime}'.")
        else:
            raise UnsupportedTypeError(f"Unrecognized content type parameters: {key[:100]}.")
    return Declared(mime, format_name, prefer_legacy=dialect == "legacy")


def _split_content_type(header: str) -> tuple[str, list[tuple[str, str]]]:
    mime, *rest = (part.strip().lower() for part in header.split(";"))
    pairs = (part.partition("=") for part in rest if part)
    return mime, [(key.strip(), value.strip().strip("\"'")) for key, _, value in pairs]


def recognise(declared: Declared, body: bytes) -> Recognised:
    """Tell the dialect and rewrap the body.

    Raises BadRequestError for a body that is not UTF-8, or not JSON, or lacks what its declared format needs.
    Canonical bodies are left to the worker to judge.
    """
    if declared.mime == PARQUET:
        return Recognised(PARQUET, body, legacy=False)
    # Spreadsheets and Power BI write a byte order mark, which JSON parsers refuse in the middle of a wrapped body.
    body = body.removeprefix(codecs.BOM_UTF8)
    if declared.mime == CSV:
        _require_utf8(body)
        return Recognised(CSV, body, legacy=declared.prefer_legacy)
    if declared.mime == JSON_NUMPY_SPLIT:
        return _wrapped_split(_parse(body), body, ("index", "columns", "data"))
    if declared.format == "pandas-split":
        return _wrapped_split(_parse(body), body, ("columns", "data"))
    if declared.format == "pandas-records":
        if not isinstance(_parse(body), list):
            raise BadRequestError("A body of format pandas-records must be a JSON list of records.")
        return _wrapped(b"dataframe_records", body)
    return _recognise_plain_json(declared, body)


def _recognise_plain_json(declared: Declared, body: bytes) -> Recognised:
    found = _FIRST_FIELD.match(body)
    if found and not (declared.prefer_legacy and found[1].decode() in _TENSOR_FIELDS):
        return Recognised(JSON, body, legacy=False)
    document = _parse(body)
    if isinstance(document, list):
        return _wrapped(b"dataframe_records", body)
    if isinstance(document, dict):
        if not _CANONICAL_FIELDS.isdisjoint(document):
            bare = declared.prefer_legacy and len(document) == 1 and not _TENSOR_FIELDS.isdisjoint(document)
            return Recognised(JSON, body, legacy=bare)
        if "columns" in document and "data" in document:
            return _wrapped(b"dataframe_split", body)
    return Recognised(JSON, body, legacy=declared.prefer_legacy)


def _wrapped_split(document: Any, body: bytes, needed: tuple[str, ...]) -> Recognised:
    if not isinstance(document, dict) or any(field not in document for field in needed):
        names = " and ".join(", ".join(f"'{field}'" for field in needed).rsplit(", ", 1))
        raise BadRequestError(f"A body in split format must be a JSON object with the fields {names}.")
    return _wrapped(b"dataframe_split", body)


def _wrapped(field: bytes, body: bytes) -> Recognised:
    """Put the body under a field. Only for a body that was parsed: it must be one JSON value and no more."""
    return Recognised(JSON, b'{"' + field + b'": ' + body + b"}", legacy=True)


def _require_utf8(body: bytes) -> None:
    if body.isascii():
        return
    try:
        body.decode()
    except UnicodeDecodeError:
        raise BadRequestError("The request body is not valid UTF-8.") from None


def _parse(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    # What orjson refuses may still be right for MLflow: bare NaN and Infinity, lone surrogates.
    _require_utf8(body)
    try:
        return json.loads(body.decode())
    except json.JSONDecodeError as error:
        place = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BadRequestError(f"The request body is not valid JSON: {place}.") from None
    except (ValueError, RecursionError):
        raise BadRequestError("The request body is not valid JSON: too deep, or a number is too long.") from None
