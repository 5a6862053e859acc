"""Endpoints as a whole: enable, disable, status, list and configuration."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.api import schemas, shapes
from mlflow_serving_plugin.api.config import merge_config, show_config
from mlflow_serving_plugin.api.context import Context, current_workspace
from mlflow_serving_plugin.api.fields import change_fields, read_fields
from mlflow_serving_plugin.domain.config import CONFIG_SCHEMA, EndpointConfig


class EndpointViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.deps.store

    def blueprint(self) -> Blueprint:
        """The routes, without the base path."""
        blueprint = Blueprint("endpoints", __name__)
        blueprint.add_url_rule("/enable", view_func=self.enable, methods=["POST"])
        blueprint.add_url_rule("/disable", view_func=self.disable, methods=["POST"])
        blueprint.add_url_rule("/get-status", view_func=self.get_status)
        blueprint.add_url_rule("/list", endpoint="list", view_func=self.list_all)
        blueprint.add_url_rule("/get-config", view_func=self.get_config)
        blueprint.add_url_rule("/update-compute-config", view_func=self.update_config, methods=["PUT"])
        blueprint.add_url_rule(
            "/update-cluster-config", endpoint="update-cluster", view_func=self.update_config, methods=["PUT"]
        )
        return blueprint

    def enable(self) -> dict[str, Any]:
        """Enable serving on a model. On an enabled one, a given ``config`` counts, and failed versions are retried."""
        fields = change_fields(request, form_allowed=not self._context.base.ajax)
        fields = schemas.check_fields(schemas.ENABLE, fields)
        name, changes = fields["registered_model_name"], fields.get("config")
        user = self._context.caller()
        self._context.require(user, name, Permission.READ)
        # Before MANAGE: auth apps give a default permission on models that do not exist.
        model = self._context.deps.registry.model(current_workspace(), name)
        self._context.require(user, name, Permission.MANAGE)
        if changes:
            # Before anything is enabled; a disabled endpoint shows no values that a placeholder could keep.
            present = self._store.find(current_workspace(), name)
            merge_config(present.config if present else EndpointConfig(), changes)
        # Enabled or not: the store also sees to a model that was made anew under an old name.
        endpoint = self._store.enable(
            current_workspace(), name, model_created_ms=model.created_ms, config=None, by=user.name
        )
        if changes:
            self._store.configure(current_workspace(), name, merge_config(endpoint.config, changes), by=user.name)
        self._context.nudge(name, retry=True)
        return {}

    def disable(self) -> dict[str, Any]:
        """Disable serving on a model; nothing happens when it is not enabled."""
        fields = change_fields(request, form_allowed=not self._context.base.ajax)
        name = schemas.check_fields(schemas.MODEL, fields)["registered_model_name"]
        user = self._context.caller()
        self._context.require(user, name, Permission.MANAGE)
        self._store.disable(current_workspace(), name, by=user.name)
        self._context.nudge(name)
        return {}

    def get_status(self) -> dict[str, Any]:
        """One endpoint's state."""
        served = self._context.served(schemas.check_fields(schemas.MODEL, read_fields(request)))
        return {"endpoint_status": shapes.endpoint_status(served)}

    def list_all(self) -> dict[str, Any]:
        """The endpoints that the caller may read, by name."""
        user, access, workspace = self._context.caller(), self._context.deps.access, current_workspace()
        statuses = [
            shapes.endpoint_status(self._context.join(endpoint))
            for endpoint in sorted(self._store.enabled(), key=lambda found: found.name)
            if endpoint.workspace == workspace and access.permission(user, workspace, endpoint.name) >= Permission.READ
        ]
        return {"endpoint_statuses" if self._context.base.v2 else "endpoints": statuses}

    def get_config(self) -> dict[str, Any]:
        """One endpoint's configuration, and the schema to make a form from."""
        served = self._context.served(schemas.check_fields(schemas.MODEL, read_fields(request)))
        return {"config": show_config(served.endpoint.config), "schema": CONFIG_SCHEMA}

    def update_config(self) -> dict[str, Any]:
        """Change an endpoint's configuration; the reply is all of the new one."""
        fields = schemas.check_fields(schemas.CONFIGURE, change_fields(request, form_allowed=False))
        name = fields["registered_model_name"]
        user = self._context.caller()
        served = self._context.served(fields)
        self._context.require(user, name, Permission.MANAGE)
        config = merge_config(served.endpoint.config, fields["config"])
        endpoint = self._store.configure(current_workspace(), name, config, by=user.name)
        self._context.nudge(name)
        return {"registered_model_name": name, "config": show_config(endpoint.config)}
