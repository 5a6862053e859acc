"""APIs that other servers have and this server has not: 404 in the shape of the API, so that its clients can read why.

A client of Databricks' ``serving-endpoints`` cannot read MLflow's own page of HTML.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Blueprint

from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.errors import NotFoundError

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_MESSAGE = "This server has no such API. A served model answers at /model/<name>/<version>/invocations."

_DATABRICKS = {"error_code": NotFoundError.error_code, "message": _MESSAGE}

_BODIES: dict[str, dict[str, Any]] = {
    "/api/2.0/serving-endpoints": _DATABRICKS,
    "/api/2.0/permissions/serving-endpoints": _DATABRICKS,
    # What mlflow.deployments asks of a server that it knows by address.
    "/api/2.0/endpoints": _DATABRICKS,
    "/endpoints": _DATABRICKS,
}
"""The body of the answer, by path, and for all paths below."""

PATHS = tuple(_BODIES)


def blueprints(_: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with one route for all."""
    for path in PATHS:
        blueprint = Blueprint("not-yet", __name__)
        for number, rule in enumerate(("", "/", "/<path:below>")):
            blueprint.add_url_rule(rule, str(number), partial(_refuse, path), methods=_METHODS)
        yield path, blueprint


def _refuse(path: str, below: str = "") -> tuple[dict[str, Any], int]:
    return _BODIES[path], 404
