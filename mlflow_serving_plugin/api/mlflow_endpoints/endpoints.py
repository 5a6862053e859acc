"""Endpoints as a whole: enable, disable, status, list and configuration."""

from __future__ import annotations

from typing import Any

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import change_fields, current_workspace, read_fields
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.operations.config import show_config


def enable(context: Context) -> dict[str, Any]:
    """Enable serving on a model, or change the ``config`` of an enabled endpoint and retry failed versions."""
    fields = change_fields(requests.ENABLE, form_allowed=not context.base.ajax)
    name, config = fields["registered_model_name"], fields.get("config")
    context.endpoints.enable(context.caller(), current_workspace(), name, config)
    return {}


def disable(context: Context) -> dict[str, Any]:
    """Disable serving on a model; idempotent."""
    fields = change_fields(requests.MODEL, form_allowed=not context.base.ajax)
    context.endpoints.disable(context.caller(), current_workspace(), fields["registered_model_name"])
    return {}


def prewarm(context: Context) -> dict[str, Any]:
    """Wake the versions that sleep, or one version; returns before a worker is ready."""
    fields = change_fields(requests.PREWARM, form_allowed=not context.base.ajax)
    name, version = fields["registered_model_name"], fields.get("endpoint_version_name")
    context.endpoints.prewarm(context.caller(), current_workspace(), name, version)
    return {}


def get_status(context: Context) -> dict[str, Any]:
    """One endpoint's state."""
    return {"endpoint_status": shapes.endpoint_status(context.served(read_fields(requests.MODEL)), context.figures())}


def list_all(context: Context) -> dict[str, Any]:
    """The endpoints that the caller may read, by name."""
    found = context.endpoints.find_all(context.caller(), current_workspace())
    key, figures = "endpoint_statuses" if context.base.v2 else "endpoints", context.figures()
    return {key: [shapes.endpoint_status(served, figures) for served in found]}


def get_config(context: Context) -> dict[str, Any]:
    """One endpoint's configuration, and the schema to make a form from."""
    served = context.served(read_fields(requests.MODEL))
    return {"config": show_config(served.endpoint.config), "schema": CONFIG_SCHEMA}


def update_config(context: Context) -> dict[str, Any]:
    """Change an endpoint's configuration; the reply is the whole new configuration."""
    fields = change_fields(requests.CONFIGURE)
    name = fields["registered_model_name"]
    endpoint = context.endpoints.configure(context.caller(), current_workspace(), name, fields["config"])
    return {"registered_model_name": name, "config": show_config(endpoint.config)}
