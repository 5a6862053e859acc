"""The OpenAPI document of one served version, from the signature and the input example in its MLmodel file.

Fed by the model files that the controller fetched; feeds ``GET …/schema``. Reads files, so it is called off
the event loop. The types' translation is pure.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.dialects.content_type import CSV, JSON, JSON_NUMPY_SPLIT, PARQUET
from mlflow_serving_plugin.host.mlmodel import read_mlmodel
from mlflow_serving_plugin.registry.examples import accepted_example

_logger = logging.getLogger(__name__)

_SIMPLE: dict[str, dict[str, Any]] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
}
_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string", "S": "string"}
_ANYTHING: dict[str, Any] = {}
_Columns = list[dict[str, Any]] | None
"""Inputs, outputs or params of a signature, as their ``to_dict`` gives them."""

_ERROR = {
    "type": "object",
    "properties": {"error_code": {"type": "string"}, "message": {"type": "string"}},
    "required": ["error_code", "message"],
}


def openapi_document(model_dir: Path, title: str, version: int, example_form: int | None = 0) -> bytes:
    """The document as JSON; UnavailableError when the MLmodel file cannot be read.

    ``example_form``: which form of the model's example the model takes; None: none.
    """
    from mlflow.models import ModelSignature

    try:
        written = read_mlmodel(model_dir).signature
        signature = ModelSignature.from_dict(written) if written else None
    except Exception as error:  # the file is a user's: anything may be wrong with it
        _logger.exception("The MLmodel file in %s could not be read.", model_dir)
        raise UnavailableError("The model's MLmodel file cannot be read.") from error
    inputs, outputs, params = (
        part.to_dict() if (part := getattr(signature, name, None)) else None for name in ("inputs", "outputs", "params")
    )
    # A parameter's default may be NaN, which is not JSON.
    shown = _example(model_dir, example_form)
    return null_for_nan(json.dumps(_document(title, version, inputs, outputs, params, shown)).encode())


def _example(model_dir: Path, form: int | None) -> Any:
    found = accepted_example(model_dir, form)
    if found is None or found.content_type != JSON:
        return None
    try:
        return json.loads(found.body)
    except ValueError:
        return None


def _document(
    title: str, version: int, inputs: _Columns, outputs: _Columns, params: _Columns, example: Any
) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Its server URL is relative, so that the document holds behind any prefix."""
    predictions = {"anyOf": [{"type": "object", "properties": {"predictions": _rows(outputs)}}, _rows(outputs)]}
    scored = {
        "description": "Predictions; without the object around them for a request of MLflow 1.",
        "content": {JSON: {"schema": predictions}},
    }
    failed = {"description": "What is wrong, in one sentence.", "content": {JSON: {"schema": _ERROR}}}
    invocations = {
        "operationId": "invocations",
        "summary": "Score rows.",
        "requestBody": {"required": True, "content": _bodies(inputs, params, example)},
        "responses": {"200": scored, "default": failed},
    }
    ping = {"operationId": "ping", "summary": "Ready?", "responses": {"200": {"description": "Ready."}, "503": failed}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": str(version)},
        "servers": [{"url": "."}],
        "paths": {"/invocations": {"post": invocations}, "/ping": {"get": ping}},
    }


def _bodies(inputs: _Columns, params: _Columns, example: Any) -> dict[str, dict[str, Any]]:
    rows, split = _rows(inputs), _split(inputs)
    values = _tensor(inputs)
    fields = {"dataframe_split": split, "dataframe_records": rows, "instances": values, "inputs": values}
    further = {"params": _object(params)} if params else {}
    one_of = [
        {"type": "object", "required": [name], "properties": {name: schema, **further}}
        for name, schema in fields.items()
    ]
    shown = {} if example is None else {"example": example}
    return {
        JSON: {"schema": {"oneOf": one_of}, **shown},
        f"{JSON}; format=pandas-records": {"schema": rows},
        f"{JSON}; format=pandas-split": {"schema": split},
        JSON_NUMPY_SPLIT: {"schema": {**split, "required": ["index", "columns", "data"]}},
        CSV: {"schema": {"type": "string"}},
        PARQUET: {"schema": {"type": "string", "contentMediaType": PARQUET}},
    }


def _rows(columns: _Columns) -> dict[str, Any]:
    """JSON schema of a list of records; of anything when columns have no names."""
    if not columns or not all("name" in column for column in columns):
        return _ANYTHING
    return {"type": "array", "items": _object(columns)}


def _split(columns: _Columns) -> dict[str, Any]:
    names = [column["name"] for column in columns or () if "name" in column]
    header: dict[str, Any] = {"type": "array"}
    if names:
        header["items"] = {"enum": names}
    properties = {"columns": header, "data": {"type": "array", "items": {"type": "array"}}, "index": {"type": "array"}}
    return {"type": "object", "required": ["columns", "data"], "properties": properties}


def _tensor(columns: _Columns) -> dict[str, Any]:
    if columns and len(columns) == 1 and "name" not in columns[0]:
        return _json_type(columns[0])
    return _ANYTHING


def _object(columns: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """JSON schema of one record, or of the parameters (which have defaults and are all optional)."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    for column in columns:
        schema = _json_type(column)
        if column.get("shape") is not None:
            schema = {"type": "array", "items": schema}
        properties[column["name"]] = {**schema, "default": column["default"]} if "default" in column else schema
        if column.get("required", "default" not in column):
            required.append(column["name"])
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def _json_type(spec: Mapping[str, Any]) -> dict[str, Any]:
    """JSON schema of one MLflow type, as ``to_dict`` of its column, property, array, map or tensor gives it."""
    kind = spec.get("type")
    if kind == "tensor":
        return _json_tensor(spec["tensor-spec"])
    if kind == "array":
        return {"type": "array", "items": _json_type(spec["items"])}
    if kind == "map":
        return {"type": "object", "additionalProperties": _json_type(spec["values"])}
    if kind == "object":
        return _object({"name": name, **of} for name, of in spec["properties"].items())
    return _SIMPLE.get(str(kind), _ANYTHING)


def _json_tensor(spec: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    kind = _KINDS.get(np.dtype(spec["dtype"]).kind)
    schema: dict[str, Any] = {"type": kind} if kind else {}
    for size in reversed(spec["shape"]):
        schema = {"type": "array", "items": schema}
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema
