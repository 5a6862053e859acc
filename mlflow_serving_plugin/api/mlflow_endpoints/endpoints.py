"""Endpoints as a whole: enable, disable, status, list and configuration."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import change_fields, current_workspace, read_fields
from mlflow_serving_plugin.domain.config import CONFIG_SCHEMA
from mlflow_serving_plugin.operations.config import show_config


class EndpointViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._endpoints = context.endpoints

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes, relative to the base path."""
        blueprint.add_url_rule("/enable", view_func=self.enable, methods=["POST"])
        blueprint.add_url_rule("/disable", view_func=self.disable, methods=["POST"])
        blueprint.add_url_rule("/get-status", view_func=self.get_status)
        blueprint.add_url_rule("/list", endpoint="list", view_func=self.list_all)
        blueprint.add_url_rule("/get-config", view_func=self.get_config)
        blueprint.add_url_rule("/update-compute-config", view_func=self.update_config, methods=["PUT"])
        blueprint.add_url_rule(
            "/update-cluster-config", endpoint="update-cluster", view_func=self.update_config, methods=["PUT"]
        )

    def enable(self) -> dict[str, Any]:
        """Enable serving on a model, or change the ``config`` of an enabled endpoint and retry failed versions."""
        fields = change_fields(request, requests.ENABLE, form_allowed=not self._context.base.ajax)
        name, config = fields["registered_model_name"], fields.get("config")
        self._endpoints.enable(self._context.caller(), current_workspace(), name, config)
        return {}

    def disable(self) -> dict[str, Any]:
        """Disable serving on a model; idempotent."""
        fields = change_fields(request, requests.MODEL, form_allowed=not self._context.base.ajax)
        self._endpoints.disable(self._context.caller(), current_workspace(), fields["registered_model_name"])
        return {}

    def get_status(self) -> dict[str, Any]:
        """One endpoint's state."""
        served = self._context.served(read_fields(request, requests.MODEL))
        return {"endpoint_status": shapes.endpoint_status(served)}

    def list_all(self) -> dict[str, Any]:
        """The endpoints that the caller may read, by name."""
        found = self._endpoints.find_all(self._context.caller(), current_workspace())
        key = "endpoint_statuses" if self._context.base.v2 else "endpoints"
        return {key: [shapes.endpoint_status(served) for served in found]}

    def get_config(self) -> dict[str, Any]:
        """One endpoint's configuration, and the schema to make a form from."""
        served = self._context.served(read_fields(request, requests.MODEL))
        return {"config": show_config(served.endpoint.config), "schema": CONFIG_SCHEMA}

    def update_config(self) -> dict[str, Any]:
        """Change an endpoint's configuration; the reply is the whole new configuration."""
        fields = change_fields(request, requests.CONFIGURE, form_allowed=False)
        name = fields["registered_model_name"]
        endpoint = self._endpoints.configure(self._context.caller(), current_workspace(), name, fields["config"])
        return {"registered_model_name": name, "config": show_config(endpoint.config)}
