"""What ``…/invocations`` speaks: MLflow 1 and MLflow 2, told apart by the Content-Type and then by the body.

The same bytes belong to both dialects for CSV, ``instances`` and ``inputs``: there the header
``X-MLflow-Scoring-Dialect`` or the endpoint's ``default_dialect`` decides. Bodies that begin with a field of MLflow 2
are not even parsed.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects import mlflow1
from mlflow_serving_plugin.gateway.dialects.base import Reader, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import (
    CSV,
    JSON,
    JSON_NUMPY_SPLIT,
    PARQUET,
    RECORDS,
    SPLIT,
    read_content_type,
)
from mlflow_serving_plugin.gateway.dialects.events import asks_for_stream
from mlflow_serving_plugin.gateway.dialects.json_text import parse, require_utf8
from mlflow_serving_plugin.gateway.dialects.mlflow1 import MLFLOW1
from mlflow_serving_plugin.gateway.dialects.mlflow2 import FIELDS, FIRST_FIELD, MLFLOW2, TENSOR_FIELDS, Mlflow2


class Invocations(Mlflow2):
    """Errors before the body is read are MLflow 2's."""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader for a body with these headers; UnsupportedTypeError, BadRequestError."""
        return _reader(headers.get("content-type"), headers.get("x-mlflow-scoring-dialect"), default)


INVOCATIONS = Invocations()

_ROWS = re.compile(rb"[ \t\r\n]*\[[ \t\r\n]*[\[{]")
"""The beginning of a bare list of rows or records."""

_SPLIT = re.compile(rb'[ \t\r\n]*\{[ \t\r\n]*"(columns|index|data)"[ \t\r\n]*:')
"""The beginning of a bare frame in split format."""


@lru_cache(maxsize=1024)
def _reader(content_type: str | None, dialect_header: str | None, default: str) -> Reader:
    preferred = (dialect_header or default).strip().lower()
    if preferred not in {"legacy", "modern"}:
        raise BadRequestError("The header X-MLflow-Scoring-Dialect must be 'legacy' or 'modern'.")
    declared = read_content_type(content_type)
    prefer_1 = preferred == "legacy"
    if declared.mime == PARQUET:
        return _read_parquet
    if declared.mime == CSV:
        return partial(_without_mark, partial(_read_csv, prefer_1))
    if declared.mime == JSON_NUMPY_SPLIT:
        return partial(_without_mark, partial(mlflow1.read_split, ("index", "columns", "data")))
    if declared.format == SPLIT:
        return partial(_without_mark, partial(mlflow1.read_split, ("columns", "data")))
    if declared.format == RECORDS:
        return partial(_without_mark, mlflow1.read_records)
    return partial(_without_mark, partial(_read_json, prefer_1))


def _without_mark(read: Callable[[bytes], ScoringRequest], body: bytes) -> ScoringRequest:
    """Spreadsheets and Power BI write a byte order mark, which JSON parsers refuse within a wrapped body."""
    return read(body.removeprefix(codecs.BOM_UTF8))


def _read_parquet(body: bytes) -> ScoringRequest:
    return ScoringRequest(PARQUET, body, MLFLOW2)


def _read_csv(prefer_1: bool, body: bytes) -> ScoringRequest:
    require_utf8(body)
    return ScoringRequest(CSV, body, MLFLOW1 if prefer_1 else MLFLOW2)


def _read_json(prefer_1: bool, body: bytes) -> ScoringRequest:
    found = FIRST_FIELD.match(body)
    if found and not (prefer_1 and found[1].decode() in TENSOR_FIELDS):
        return ScoringRequest(JSON, body, MLFLOW2, asks_for_stream(body))
    if len(body) > mlflow1.LARGE_BYTES:
        if _ROWS.match(body):
            return mlflow1.read_records(body)
        if _SPLIT.match(body) and b'"columns"' in body and b'"data"' in body:
            return mlflow1.read_split(("columns", "data"), body)
    document = parse(body)
    preferred = MLFLOW1 if prefer_1 else MLFLOW2
    if isinstance(document, dict) and not FIELDS.isdisjoint(document):
        of_both = len(document) == 1 and not TENSOR_FIELDS.isdisjoint(document)
        return ScoringRequest(JSON, body, preferred if of_both else MLFLOW2, asks_for_stream(body))
    return mlflow1.read_bare(document, body) or ScoringRequest(JSON, body, preferred)
