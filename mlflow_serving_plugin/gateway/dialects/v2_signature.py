"""What a model takes and answers by its signature, in the words of the Open Inference Protocol (V2). Pure."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from mlflow_serving_plugin.gateway.dialects.v2_tensors import OF_COLUMNS, OF_DTYPES


class Declared(NamedTuple):
    """An input or output of a model's signature. ``tensor``: of tensors, not of columns."""

    name: str
    datatype: str
    shape: list[int]
    named: bool
    tensor: bool


def declared(part: Any, prefix: str) -> list[Declared]:
    """Inputs (``prefix`` input) or outputs (output) of ``MLmodel``'s signature; empty without."""
    try:
        specs = json.loads(part) if isinstance(part, str) else part or []
    except ValueError:
        return []
    found = []
    for index, spec in enumerate(specs if isinstance(specs, list) else []):
        tensor = spec.get("tensor-spec")
        name = spec.get("name")
        datatype = OF_DTYPES.get(tensor["dtype"], "BYTES") if tensor else OF_COLUMNS.get(spec.get("type"), "BYTES")
        shape = [int(size) for size in tensor["shape"]] if tensor else [-1, 1]
        unnamed = f"{prefix}-{index + (prefix == 'output')}"
        found.append(Declared(str(name or unnamed), datatype, shape, name is not None, tensor is not None))
    return found


def as_metadata(parts: list[Declared]) -> list[dict[str, Any]]:
    """Inputs or outputs in a model's metadata."""
    return [{"name": one.name, "datatype": one.datatype, "shape": one.shape} for one in parts]
