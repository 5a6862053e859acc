"""JSON schemas of the types in a model's signature. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Schema = dict[str, Any]
Columns = list[dict[str, Any]] | None
"""Inputs, outputs or params of a signature, as their ``to_dict`` gives them."""

ANYTHING: Schema = {}

_SIMPLE: dict[str, Schema] = {
    "boolean": {"type": "boolean"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "string": {"type": "string"},
    "binary": {"type": "string", "contentEncoding": "base64"},
    # A whole number is nanoseconds since 1970.
    "datetime": {"type": ["string", "integer"], "format": "date-time"},
}
_NULLABLE = frozenset({"float", "double", "string", "datetime"})
"""Types of a data frame's columns for which MLflow takes ``null``, also where the column is required."""

_KINDS = {"b": "boolean", "i": "integer", "u": "integer", "f": "number", "U": "string", "S": "string"}


def is_simple(spec: Mapping[str, Any]) -> bool:
    """Whether a column holds one value a row."""
    return spec.get("type") in _SIMPLE


def list_of(schema: Schema) -> Schema:
    """JSON schema of a list."""
    return {"type": "array", "items": schema}


def rows_of(columns: Columns) -> Schema:
    """JSON schema of a list of records; of anything when columns have no names."""
    if not columns or not all("name" in column for column in columns):
        return ANYTHING
    return list_of(row_of(columns))


def row_of(columns: Iterable[Mapping[str, Any]]) -> Schema:
    """JSON schema of one row of a data frame, as a record."""
    columns = list(columns)
    row = record_of(columns)
    for column in columns:
        schema = row["properties"][str(column["name"])]
        if column.get("type") in _NULLABLE:
            kinds = schema["type"]
            row["properties"][str(column["name"])] = {**schema, "type": [*_as_list(kinds), "null"]}
    return row


def record_of(columns: Iterable[Mapping[str, Any]]) -> Schema:
    """JSON schema of one record, or of the parameters (which have defaults and are all optional)."""
    properties: Schema = {}
    required: list[str] = []
    for column in columns:
        schema = schema_of(column)
        if column.get("shape") is not None:
            schema = list_of(schema)
        properties[str(column["name"])] = {**schema, "default": column["default"]} if "default" in column else schema
        if column.get("required", "default" not in column):
            required.append(str(column["name"]))
    return {"type": "object", "properties": properties, **({"required": required} if required else {})}


def schema_of(spec: Mapping[str, Any]) -> Schema:
    """JSON schema of one MLflow type, as ``to_dict`` of its column, property, array, map or tensor gives it."""
    kind = spec.get("type")
    if kind == "tensor":
        return _tensor(spec["tensor-spec"])
    if kind == "array":
        return list_of(schema_of(spec["items"]))
    if kind == "map":
        return {"type": "object", "additionalProperties": schema_of(spec["values"])}
    if kind == "object":
        return record_of({"name": name, **of} for name, of in spec["properties"].items())
    return _SIMPLE.get(str(kind), ANYTHING)


def _as_list(kinds: str | list[str]) -> list[str]:
    return [kinds] if isinstance(kinds, str) else kinds


def _tensor(spec: Mapping[str, Any]) -> Schema:
    import numpy as np

    kind = _KINDS.get(np.dtype(spec["dtype"]).kind)
    schema: Schema = {"type": kind} if kind else {}
    for size in reversed(spec["shape"]):
        schema = list_of(schema)
        if size >= 0:
            schema |= {"minItems": size, "maxItems": size}
    return schema
