"""Which forms of a request body a model takes, from its signature: those that MLflow's scoring server scores. Pure."""

from __future__ import annotations

from typing import Any

from mlflow_serving_plugin.gateway.dialects.content_type import CSV, JSON, JSON_NUMPY_SPLIT, PARQUET
from mlflow_serving_plugin.gateway.dialects.openapi_types import (
    ANYTHING,
    Columns,
    Schema,
    is_simple,
    list_of,
    record_of,
    row_of,
    rows_of,
    schema_of,
)

CHAT_FIELDS = ("messages", "prompt", "input")
"""Fields of a body that MLflow hands to the model as it is, without a field of the scoring protocol around it."""

_SPLIT, _RECORDS = "dataframe_split", "dataframe_records"


def forms_of(inputs: Columns, example: Any, *, from_type_hint: bool) -> dict[str, Schema]:
    """JSON schemas by the field of the body that holds the data; ``""`` for a body without such a field.

    ``inputs``: those of the signature; ``example``: a body that scores; ``from_type_hint``: whether the signature was
    made of a Python type hint.
    """
    if not inputs:
        return _of_any(example)
    if from_type_hint:
        return {"inputs": list_of(schema_of(inputs[0]))}
    if any(column.get("type") == "tensor" for column in inputs):
        return _of_tensors(inputs)
    if all(isinstance(column.get("name"), str) for column in inputs):
        return _of_named(inputs)
    return _of_unnamed(inputs)


def contents_of(forms: dict[str, Schema], params: Columns, example: Any) -> dict[str, dict[str, Any]]:
    """The content types that hold these forms, and their schemas."""
    further = {"params": record_of(params)} if params else {}
    one_of = [
        {"type": "object", "required": [field], "properties": {field: schema, **further}}
        for field, schema in forms.items()
        if field
    ]
    if "" in forms:
        bare = forms[""]
        beside = further["params"]["properties"] if params else {}
        one_of.append({**bare, "properties": {**bare.get("properties", {}), **beside}})
    shown = {} if example is None else {"example": example}
    found: dict[str, dict[str, Any]] = {JSON: {"schema": {"oneOf": one_of}, **shown}}
    if _RECORDS in forms:
        found[f"{JSON}; format=pandas-records"] = {"schema": forms[_RECORDS]}
    if _SPLIT in forms:
        split = forms[_SPLIT]
        found[f"{JSON}; format=pandas-split"] = {"schema": {**split, "required": ["columns", "data"]}}
        found[JSON_NUMPY_SPLIT] = {"schema": {**split, "required": ["index", "columns", "data"]}}
        found[CSV] = {"schema": {"type": "string"}}
        found[PARQUET] = {"schema": {"type": "string", "contentMediaType": PARQUET}}
    return found


def _of_any(example: Any) -> dict[str, Schema]:
    """Without a signature the model decides."""
    lists = {"type": "object", "additionalProperties": {"type": "array"}}
    instances = {"anyOf": [{"type": "array"}, lists]}
    forms = {_SPLIT: _split([]), _RECORDS: {"type": "array"}, "instances": instances, "inputs": ANYTHING}
    if isinstance(example, dict) and (chat := [field for field in CHAT_FIELDS if field in example]):
        forms[""] = {"type": "object", "required": chat}
    return forms


def _of_named(columns: list[dict[str, Any]]) -> dict[str, Schema]:
    record = row_of(columns)
    simple = all(map(is_simple, columns))
    forms = {_RECORDS: rows_of(columns), "inputs": {"anyOf": [list_of(record), record]}}
    if simple:
        lists = {**record, "properties": {name: list_of(schema) for name, schema in record["properties"].items()}}
        one_column = [list_of(schema_of(columns[0]))] if len(columns) == 1 else []
        either = {"anyOf": [list_of(record), record, lists, *one_column]}
        forms = {_SPLIT: _split(columns), **forms, "instances": either, "inputs": either}
    if chat := [str(column["name"]) for column in columns if column["name"] in CHAT_FIELDS]:
        forms[""] = {**record, "required": sorted({*record.get("required", []), chat[0]})}
    return forms


def _of_unnamed(columns: list[dict[str, Any]]) -> dict[str, Schema]:
    count, cell = len(columns), schema_of(columns[0]) if len(columns) == 1 else ANYTHING
    row = {**list_of(cell), "minItems": count, "maxItems": count}
    values = list_of(row) if count > 1 else {"anyOf": [cell, list_of(cell), list_of(row)]}
    forms = {"inputs": values, "instances": values}
    if not all(map(is_simple, columns)):
        return forms
    named = [column for column in columns if "name" in column]
    record = {"type": "object", "minProperties": count, "maxProperties": count, "additionalProperties": cell}
    records = {} if named else {_RECORDS: list_of({"anyOf": [row, record, *([cell] if count == 1 else [])]})}
    return {_SPLIT: _split(columns), **records, **forms}


def _of_tensors(tensors: list[dict[str, Any]]) -> dict[str, Schema]:
    if not all("name" in tensor for tensor in tensors):
        values = schema_of(tensors[0])
        is_table = len(tensors[0]["tensor-spec"]["shape"]) == 2
        table = {_SPLIT: _split([]), _RECORDS: {"type": "array"}} if is_table else {}
        return {**table, "instances": values, "inputs": values}
    by_name = record_of(tensors)
    items = record_of(tensors)
    items["properties"] = {name: schema["items"] for name, schema in items["properties"].items() if "items" in schema}
    flat = all(len(tensor["tensor-spec"]["shape"]) <= 2 for tensor in tensors)
    records = {_RECORDS: list_of(items)} if flat else {}
    return {**records, "inputs": by_name, "instances": {"anyOf": [by_name, list_of(items)]}}


def _split(columns: list[dict[str, Any]]) -> Schema:
    names = [column["name"] for column in columns if "name" in column]
    header: Schema = {"type": "array", **({"items": {"enum": names}} if names else {})}
    properties = {"columns": header, "data": list_of({"type": "array"}), "index": {"type": "array"}}
    needed = ["columns", "data"] if names and all(isinstance(name, str) for name in names) else ["data"]
    return {"type": "object", "required": needed, "properties": properties}
