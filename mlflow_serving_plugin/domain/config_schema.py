"""The JSON schema of an endpoint's configuration, from the description of each key. Pure."""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import Any, get_type_hints

from mlflow_serving_plugin.domain.config import EndpointConfig

_JSON_TYPES = {int: "integer", int | None: "integer", float: "number", float | None: "number", str: "string"}


def _schema() -> dict[str, Any]:
    properties = {}
    hints = get_type_hints(EndpointConfig)
    for item in fields(EndpointConfig):
        about = item.metadata
        if "hidden" in about:
            continue
        properties[item.name] = {
            "title": about["title"],
            "description": about["help"],
            "type": _JSON_TYPES.get(hints[item.name], "object"),
            **about["limits"],
            "default": {} if item.default is MISSING else item.default,
        }
    return {"type": "object", "additionalProperties": False, "properties": properties}


CONFIG_SCHEMA = _schema()
"""The JSON schema of a configuration, which a form can be made from."""
