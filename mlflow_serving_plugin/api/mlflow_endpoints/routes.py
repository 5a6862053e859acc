"""The base paths of the old product's API, and the routes below each of them."""

from __future__ import annotations

from collections.abc import Iterator

from flask import Blueprint, Response

from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.failures import reply
from mlflow_serving_plugin.api.mlflow_endpoints.context import BasePath, Context
from mlflow_serving_plugin.api.mlflow_endpoints.endpoints import EndpointViews
from mlflow_serving_plugin.api.mlflow_endpoints.history import HistoryViews
from mlflow_serving_plugin.api.mlflow_endpoints.pages import PageViews
from mlflow_serving_plugin.api.mlflow_endpoints.versions import VersionViews
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.endpoints import NotEnabledError

BASE_PATHS = tuple(
    BasePath(f"/{root}/2.0/{preview}mlflow/{family}", v2=family == "endpoints-v2", ajax=root == "ajax-api")
    for root in ("api", "ajax-api")
    for preview in ("", "preview/")
    for family in ("endpoints", "endpoints-v2")
)
PATHS = tuple(base.path for base in BASE_PATHS)


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with its routes."""
    for base in BASE_PATHS:
        context = Context(deps, base)
        blueprint = Blueprint("endpoints", __name__)
        for views in (EndpointViews(context), VersionViews(context), HistoryViews(context)):
            views.add_to(blueprint)
        if base.ajax:
            PageViews(context).add_to(blueprint)
        if not base.v2:
            blueprint.register_error_handler(NotEnabledError, _wrong_parameter)
        yield base.path, blueprint


def _wrong_parameter(error: NotEnabledError) -> Response:
    """``endpoints`` calls the name of a model without serving a wrong parameter; ``endpoints-v2`` says not found."""
    return reply(InvalidParameterError(error.message))
