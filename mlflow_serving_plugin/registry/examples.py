"""A model's logged input example, as a scoring request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.domain.entity import Example
from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.host.mlmodel import read_mlmodel


def scoring_example(model_dir: Path) -> Example | None:
    """The input example that was logged with the model; None when there is none or it cannot be read.

    MLflow ≥ 2.15 writes the request body beside the example; for older models the request body is composed here.
    An empty number is ``null``: MLflow writes ``NaN``, which is not JSON.
    """
    try:
        info = read_mlmodel(model_dir).example_info
        if not info:
            return None
        if path := info.get("serving_input_path"):
            return Example(null_for_nan(_inside(model_dir, path).read_bytes()), "application/json")
        content = json.loads(_inside(model_dir, info["artifact_path"]).read_text())
        return Example(null_for_nan(json.dumps(_request(info, content)).encode()), "application/json")
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return None


def _request(info: Mapping[str, Any], content: Any) -> dict[str, Any]:
    params = {}
    if info.get("params") and isinstance(content, dict) and "inputs" in content:
        params = {"params": content.get("params")}
        content = content["inputs"]
    kind = info.get("type")
    if kind == "dataframe":
        return {f"dataframe_{info.get('pandas_orient', 'split')}": content, **params}
    if kind == "ndarray" and isinstance(content, dict) and "inputs" in content:
        return {"inputs": content["inputs"], **params}
    if kind in {"json_object", "json", "ndarray"}:
        return {"inputs": content, **params}
    # Sparse matrices and the like: the model might refuse a request composed from them.
    raise ValueError(f"an example of type {kind!r} has no known request")


def _inside(model_dir: Path, name: str) -> Path:
    """A file of the model. ``name`` comes from the user who logged the model, so it must not lead out of the model."""
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir.resolve()):
        raise ValueError("the example lies outside the model")
    return path
