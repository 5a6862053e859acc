"""A model's logged input example, as scoring requests: the likeliest form first, then the others that hold the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.domain.entity import Example
from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.host.mlmodel import MlModel, read_mlmodel

_JSON = "application/json"
_CHAT_FIELDS = frozenset({"messages", "prompt", "input"})
"""Fields that MLflow takes without a field of its scoring protocol around them."""

_MOST_CELLS = 1_000_000
_MOST_FORMS = 6


def scoring_example(model_dir: Path) -> Example | None:
    """The input example that was logged with the model; None when there is none or it cannot be read.

    MLflow ≥ 2.15 writes the request body beside the example; for older models the request body is composed here.
    Neither is known to be a body that the model takes, so ``others`` has the same input in further forms.
    An empty number is ``null``: MLflow writes ``NaN``, which is not JSON.
    """
    try:
        model = read_mlmodel(model_dir)
        info = model.example_info
        if not info:
            return None
        if path := info.get("serving_input_path"):
            first = null_for_nan(_inside(model_dir, path).read_bytes())
            bodies = [first, *map(_written, _other_forms(json.loads(first), _columns(model)))]
        else:
            content, params = _content(info, json.loads(_inside(model_dir, info["artifact_path"]).read_text()))
            bodies = [_written(form) for form in _forms(content, params, _columns(model), info)]
        return _example(bodies)
    except (OSError, ValueError, KeyError, AttributeError, TypeError, IndexError, RecursionError):
        return None


def accepted_example(model_dir: Path, form: int | None) -> Example | None:
    """The example in the form that a worker has scored; ``form`` None: the model refuses its own example."""
    found = scoring_example(model_dir)
    return found.forms[form] if found is not None and form is not None and form < len(found.forms) else None


def _example(bodies: list[bytes]) -> Example | None:
    documents: list[Any] = []
    kept: list[Example] = []
    for body in bodies[:_MOST_FORMS]:
        document = json.loads(body)
        if document not in documents:
            documents.append(document)
            kept.append(Example(body, _JSON))
    return Example(kept[0].body, _JSON, others=tuple(kept[1:])) if kept else None


def _content(info: Mapping[str, Any], content: Any) -> tuple[Any, dict[str, Any]]:
    """What was logged, and the parameters of a request."""
    params = {}
    if info.get("params") and isinstance(content, dict) and "inputs" in content:
        content, params = content["inputs"], {"params": content.get("params")}
    if str(info.get("type", "")).startswith("sparse_matrix") and isinstance(content, dict):
        return _dense(content, by_column=info["type"].endswith("csc")), params
    if info.get("type") == "ndarray" and isinstance(content, dict) and set(content) == {"inputs"}:
        return content["inputs"], params
    return content, params


def _other_forms(request: dict[str, Any], columns: list[Any]) -> Iterator[dict[str, Any]]:
    """Request bodies with the same input as one that MLflow has written."""
    params = {"params": request["params"]} if "params" in request else {}
    fields = [name for name in request if name != "params"]
    if not _CHAT_FIELDS.isdisjoint(request):
        yield from _forms(request, {}, columns)
    elif len(fields) == 1:
        yield from _forms(request[fields[0]], params, columns)


def _forms(
    content: Any, params: dict[str, Any], columns: list[Any], info: Mapping[str, Any] | None = None
) -> Iterator[dict[str, Any]]:
    """Request bodies that hold ``content``. ``columns``: the names in the signature."""
    orient = str((info or {}).get("pandas_orient", ""))
    if isinstance(content, dict) and "data" in content and set(content) <= {"columns", "index", "data"}:
        yield {"dataframe_split": content, **params}
        yield from _of_rows(content.get("columns") or columns, content["data"], params)
    elif isinstance(content, dict):
        if not _CHAT_FIELDS.isdisjoint(content):
            yield {**content, **params.get("params", {})}
        yield {"inputs": content, **params}
        yield {"dataframe_records": [content], **params}
        yield {"inputs": [content], **params}
    elif isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        names = ("dataframe_records", "inputs") if orient == "records" else ("inputs", "dataframe_records")
        yield from ({name: content, **params} for name in names)
    elif isinstance(content, list) and content and all(isinstance(item, list) for item in content):
        if not orient:
            yield {"inputs": content, **params}
        yield from _of_rows(columns, content, params)
    else:
        yield {"inputs": content, **params}
        rows = [[item] for item in content] if isinstance(content, list) else [[content]]
        if not isinstance(content, list):
            yield {"inputs": [content], **params}
        yield from _of_rows(columns, rows, params)


def _of_rows(columns: list[Any], rows: list[Any], params: dict[str, Any]) -> Iterator[dict[str, Any]]:
    width = len(rows[0])
    names = columns if len(columns) == width else list(range(width))
    yield {"dataframe_split": {"columns": names, "data": rows}, **params}
    if names is columns:
        yield {"dataframe_records": [dict(zip(names, row, strict=True)) for row in rows], **params}
        yield {"inputs": [dict(zip(names, row, strict=True)) for row in rows], **params}
    yield {"inputs": rows, **params}


def _dense(sparse: Mapping[str, Any], *, by_column: bool) -> list[list[Any]]:
    """The rows of a matrix that was logged as SciPy's csr or csc, which MLflow's scoring server takes dense only."""
    height, width = sparse["shape"]
    if height * width > _MOST_CELLS:
        raise ValueError("the matrix is too large for a request")
    rows = [[0.0] * width for _ in range(height)]
    bounds = sparse["indptr"]
    for major, (start, end) in enumerate(pairwise(bounds)):
        for minor, value in zip(sparse["indices"][start:end], sparse["data"][start:end], strict=True):
            row, column = (minor, major) if by_column else (major, minor)
            rows[row][column] = value
    return rows


def _columns(model: MlModel) -> list[Any]:
    """The names of the signature's inputs; empty without a signature or without names."""
    try:
        inputs = json.loads(model.signature.get("inputs") or "[]")
    except (ValueError, TypeError):
        return []
    return [column["name"] for column in inputs if isinstance(column, dict) and "name" in column]


def _written(document: Any) -> bytes:
    return null_for_nan(json.dumps(document).encode())


def _inside(model_dir: Path, name: str) -> Path:
    """A file of the model. ``name`` comes from the user who logged the model, so it must not lead out of the model."""
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir.resolve()):
        raise ValueError("the example lies outside the model")
    return path
