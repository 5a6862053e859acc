"""The base paths of the old product's API, and the routes below each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from flask import Blueprint, Response

from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.failures import reply
from mlflow_serving_plugin.api.mlflow_endpoints import charts, endpoints, history, logged, pages, versions
from mlflow_serving_plugin.api.mlflow_endpoints.context import BasePath, Context
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.endpoints import NotEnabledError

BASE_PATHS = tuple(
    BasePath(f"/{root}/2.0/{preview}mlflow/{family}", v2=family == "endpoints-v2", ajax=root == "ajax-api")
    for root in ("api", "ajax-api")
    for preview in ("", "preview/")
    for family in ("endpoints", "endpoints-v2")
)
PATHS = tuple(base.path for base in BASE_PATHS)

Routes = dict[str, tuple[Callable[[Context], dict[str, Any]], tuple[str, ...]]]
"""Relative to a base path: a view, and the methods that it takes."""

_GET, _POST, _PUT = ("GET",), ("POST",), ("PUT",)
_ROUTES: Routes = {
    "enable": (endpoints.enable, _POST),
    "disable": (endpoints.disable, _POST),
    "prewarm": (endpoints.prewarm, _POST),
    "get-status": (endpoints.get_status, _GET),
    "list": (endpoints.list_all, _GET),
    "get-config": (endpoints.get_config, _GET),
    "update-compute-config": (endpoints.update_config, _PUT),
    "update-cluster-config": (endpoints.update_config, _PUT),
    "list-versions": (versions.list_versions, _GET),
    "get-version-status": (versions.get_version_status, _GET),
    "list-version-aliases": (versions.list_version_aliases, _GET),
    "get-version-replicas": (versions.get_version_replicas, _GET),
    "get-version-logs": (history.get_version_logs, _GET + _POST),
    "get-version-build-logs": (history.get_version_build_logs, _GET + _POST),
    "get-event-history": (history.get_event_history, _GET),
    "get-history": (charts.get_history, _GET),
    "list-requests": (logged.list_requests, _GET),
    "get-request": (logged.get_request, _GET),
    "get-drift": (logged.get_drift, _GET),
}
_AJAX_ROUTES: Routes = {
    "get-input-example": (versions.get_input_example, _GET),
    "get-sample-request": (versions.get_sample_request, _GET),
    "get-access": (pages.get_access, _GET),
    "get-overview": (pages.get_overview, _GET),
    "list-overviews": (pages.list_overviews, _GET),
}


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with its routes."""
    for base in BASE_PATHS:
        context, blueprint = Context(deps, base), Blueprint("endpoints", __name__)
        for name, (view, methods) in (_ROUTES | (_AJAX_ROUTES if base.ajax else {})).items():
            blueprint.add_url_rule(f"/{name}", name, partial(view, context), methods=methods)
        if not base.v2:
            blueprint.register_error_handler(NotEnabledError, _wrong_parameter)
        yield base.path, blueprint


def _wrong_parameter(error: NotEnabledError) -> Response:
    """``endpoints`` calls the name of a model without serving a wrong parameter; ``endpoints-v2`` says not found."""
    return reply(InvalidParameterError(error.message))
