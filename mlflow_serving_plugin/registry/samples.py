"""A request that a model takes: its own input example, or a request made from its signature."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mlflow_serving_plugin.host.mlmodel import read_mlmodel
from mlflow_serving_plugin.registry.examples import accepted_example

_VALUES: dict[str, Any] = {
    "boolean": True,
    "integer": 0,
    "long": 0,
    "float": 0.0,
    "double": 0.0,
    "string": "text",
    "binary": "AA==",
    "datetime": "2024-01-01T00:00:00",
}
_ROLE = "user"
"""Of a chat's message: models refuse roles that they do not know."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A request's body in JSON, and where the body comes from."""

    body: str
    source: Literal["example", "signature"]


def sample_request(model_dir: Path, form: int | None = 0) -> Sample | None:
    """The sample of a fetched model; None when the model has neither an example nor a signature of its inputs.

    ``form``: the form of the example that the model takes; None: the model refuses its own example.
    """
    example = accepted_example(model_dir, form)
    if example is not None:
        return Sample(example.body.decode(errors="replace"), "example")
    try:
        made = request_from(read_mlmodel(model_dir).signature)
    except Exception:
        return None
    return None if made is None else Sample(json.dumps(made), "signature")


def request_from(signature: Mapping[str, Any]) -> dict[str, Any] | None:
    """A request of one row with a value of the right type in each column; None without inputs."""
    from mlflow.models import ModelSignature

    inputs = ModelSignature.from_dict(signature).inputs if signature else None
    columns = inputs.to_dict() if inputs is not None else []
    if not columns:
        return None
    named = all("name" in column for column in columns)
    if any(column.get("type") == "tensor" for column in columns):
        tensors = [_tensor(column["tensor-spec"]) for column in columns]
        names = [column.get("name") for column in columns]
        return {"inputs": dict(zip(names, tensors, strict=True)) if named else tensors[0]}
    if named:
        return {"dataframe_records": [_object({column["name"]: column for column in columns})]}
    if len(columns) == 1:
        return {"inputs": [_value(columns[0])]}
    row = [_value(column) for column in columns]
    return {"dataframe_split": {"columns": list(range(len(row))), "data": [row]}}


def _object(properties: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """All properties: a column is optional to MLflow as soon as the example had an empty cell, but not to the model."""
    return {name: _named(name, spec) for name, spec in properties.items()}


def _named(name: str, spec: Mapping[str, Any]) -> Any:
    return _ROLE if name == "role" and spec.get("type") == "string" else _value(spec)


def _value(spec: Mapping[str, Any]) -> Any:
    kind = spec.get("type")
    if kind == "array":
        return [_value(spec["items"])]
    if kind == "map":
        return {"key": _value(spec["values"])}
    if kind == "object":
        return _object(spec["properties"])
    return _VALUES.get(str(kind))


def _tensor(spec: Mapping[str, Any]) -> Any:
    import numpy as np

    kind = np.dtype(spec["dtype"]).kind
    value: Any = {"b": True, "i": 0, "u": 0, "f": 0.0}.get(kind, "text")
    for size in reversed(spec["shape"]):
        value = [value] * max(1, size)
    return value
