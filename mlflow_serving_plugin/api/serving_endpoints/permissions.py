"""Databricks' permissions of serving endpoints, which here follow from those of registered models."""

from __future__ import annotations

from typing import Any

from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, change_document, current_workspace
from mlflow_serving_plugin.api.serving_endpoints import shapes
from mlflow_serving_plugin.errors import InvalidParameterError


def get_permissions(deps: ApiDeps, endpoint_id: str) -> dict[str, Any]:
    """What the caller may do with an endpoint."""
    caller = caller_of(deps.access)
    return shapes.permissions(deps.serving.describe_by_id(caller, current_workspace(), endpoint_id), caller.name)


def set_permissions(deps: ApiDeps, endpoint_id: str) -> dict[str, Any]:
    """Refused: endpoints have no permissions of their own."""
    change_document()
    deps.serving.describe_by_id(caller_of(deps.access), current_workspace(), endpoint_id)
    raise InvalidParameterError(
        "access_control_list: an endpoint has the permissions of the registered models that it serves. Change those."
    )


def permission_levels(deps: ApiDeps, endpoint_id: str) -> dict[str, Any]:
    """The levels that there are."""
    deps.serving.describe_by_id(caller_of(deps.access), current_workspace(), endpoint_id)
    levels = [{"permission_level": level, "description": text} for level, text in shapes.LEVELS.items()]
    return {"permission_levels": levels}
