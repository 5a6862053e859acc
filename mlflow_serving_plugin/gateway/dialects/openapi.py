"""The OpenAPI document of one served version, from the signature and the input example in its MLmodel file.

Fed by the model files that the controller fetched; feeds ``GET …/schema``. Reads files, so it is called off
the event loop. Which forms of a body there are, and the types, are pure.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.openapi_forms import contents_of, forms_of
from mlflow_serving_plugin.gateway.dialects.openapi_types import Columns, rows_of
from mlflow_serving_plugin.host.mlmodel import read_mlmodel
from mlflow_serving_plugin.registry.examples import accepted_example

_logger = logging.getLogger(__name__)

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
        model = read_mlmodel(model_dir)
        signature = ModelSignature.from_dict(model.signature) if model.signature else None
    except Exception as error:  # the file is a user's: anything may be wrong with it
        _logger.exception("The MLmodel file in %s could not be read.", model_dir)
        raise UnavailableError("The model's MLmodel file cannot be read.") from error
    inputs, outputs, params = (
        part.to_dict() if (part := getattr(signature, name, None)) else None for name in ("inputs", "outputs", "params")
    )
    example = _example(model_dir, example_form)
    forms = forms_of(inputs, example, from_type_hint=model.from_type_hint)
    contents = contents_of(forms, params, example)
    # A parameter's default may be NaN, which is not JSON.
    return null_for_nan(json.dumps(_document(title, version, contents, outputs)).encode())


def _example(model_dir: Path, form: int | None) -> Any:
    found = accepted_example(model_dir, form)
    if found is None or found.content_type != JSON:
        return None
    try:
        return json.loads(found.body)
    except ValueError:
        return None


def _document(title: str, version: int, contents: dict[str, dict[str, Any]], outputs: Columns) -> dict[str, Any]:
    """The OpenAPI 3.1 document. Its server URL is relative, so that the document holds behind any prefix.

    ``contents``: what a request may hold, by content type.
    """
    rows = rows_of(outputs)
    predictions = {"anyOf": [{"type": "object", "properties": {"predictions": rows}}, rows]}
    scored = {
        "description": "Predictions; without the object around them for a request of MLflow 1.",
        "content": {JSON: {"schema": predictions}},
    }
    failed = {"description": "What is wrong, in one sentence.", "content": {JSON: {"schema": _ERROR}}}
    invocations = {
        "operationId": "invocations",
        "summary": "Score rows.",
        "requestBody": {"required": True, "content": contents},
        "responses": {"200": scored, "default": failed},
    }
    ping = {"operationId": "ping", "summary": "Ready?", "responses": {"200": {"description": "Ready."}, "503": failed}}
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": str(version)},
        "servers": [{"url": "."}],
        "paths": {"/invocations": {"post": invocations}, "/ping": {"get": ping}},
    }
