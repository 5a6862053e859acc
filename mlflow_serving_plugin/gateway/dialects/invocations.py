"""What ``…/invocations`` speaks: MLflow 1 and MLflow 2, told apart by the Content-Type and then by the body.

The same bytes belong to both dialects for CSV, ``instances`` and ``inputs``: there the header
``X-MLflow-Scoring-Dialect`` or the endpoint's ``default_dialect`` decides. Bodies that begin with a field of MLflow 2
are not even parsed.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects import mlflow1, mlflow2
from mlflow_serving_plugin.gateway.dialects.base import Reader, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import (
    CSV,
    JSON_NUMPY_SPLIT,
    PARQUET,
    RECORDS,
    SPLIT,
    read_content_type,
)
from mlflow_serving_plugin.gateway.dialects.json_text import parse, require_utf8


class Invocations(mlflow2.Mlflow2):
    """Errors before the body is read are MLflow 2's."""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader for a body with these headers; UnsupportedTypeError, BadRequestError."""
        return _reader(headers.get("content-type"), headers.get("x-mlflow-scoring-dialect"), default)


INVOCATIONS = Invocations()


@lru_cache(maxsize=1024)
def _reader(content_type: str | None, dialect_header: str | None, default: str) -> Reader:
    preferred = (dialect_header or default).strip().lower()
    if preferred not in {"legacy", "modern"}:
        raise BadRequestError("The header X-MLflow-Scoring-Dialect must be 'legacy' or 'modern'.")
    declared = read_content_type(content_type)
    if declared.mime == PARQUET:
        return mlflow2.read_parquet
    if declared.mime == JSON_NUMPY_SPLIT:
        return partial(_without_mark, mlflow1.read_numpy_split)
    if declared.format == SPLIT:
        return partial(_without_mark, mlflow1.read_split)
    if declared.format == RECORDS:
        return partial(_without_mark, mlflow1.read_records)
    if declared.mime == CSV:
        return partial(_without_mark, partial(_read_csv, preferred == "legacy"))
    return partial(_without_mark, _read_json_preferring_1 if preferred == "legacy" else _read_json)


def _without_mark(read: Callable[[bytes], ScoringRequest], body: bytes) -> ScoringRequest:
    """Spreadsheets and Power BI write a byte order mark, which JSON parsers refuse within a wrapped body."""
    return read(body.removeprefix(codecs.BOM_UTF8))


def _read_csv(prefer_1: bool, body: bytes) -> ScoringRequest:
    require_utf8(body)
    return mlflow1.read_csv(body) if prefer_1 else mlflow2.read_csv(body)


def _read_json(body: bytes) -> ScoringRequest:
    if mlflow2.FIRST_FIELD.match(body):
        return mlflow2.read_json(body)
    document = parse(body)
    if isinstance(document, dict) and not mlflow2.FIELDS.isdisjoint(document):
        return mlflow2.read_json(body)
    return mlflow1.read_bare(document, body) or mlflow2.read_json(body)


def _read_json_preferring_1(body: bytes) -> ScoringRequest:
    found = mlflow2.FIRST_FIELD.match(body)
    if found and found[1].decode() not in mlflow2.TENSOR_FIELDS:
        return mlflow2.read_json(body)
    document = parse(body)
    if isinstance(document, dict) and not mlflow2.FIELDS.isdisjoint(document):
        only_tensor = len(document) == 1 and not mlflow2.TENSOR_FIELDS.isdisjoint(document)
        return mlflow1.read_unchanged(body) if only_tensor else mlflow2.read_json(body)
    return mlflow1.read_bare(document, body) or mlflow1.read_unchanged(body)
