"""Which path leads to which view of ``serving-endpoints``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.logs import read_log
from mlflow_serving_plugin.api.requests import (
    caller_of,
    change_document,
    current_workspace,
    page_of,
    read_fields,
)
from mlflow_serving_plugin.api.serving_endpoints import permissions, refused, shapes
from mlflow_serving_plugin.api.serving_endpoints.shadow import agreement
from mlflow_serving_plugin.api.shapes import event, event_page
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.host import differences
from mlflow_serving_plugin.metrics.exposition import expose
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.operations.described import Described
from mlflow_serving_plugin.operations.served_actions import cancel_update, wake
from mlflow_serving_plugin.operations.served_extras import show_ai_gateway, show_rate_limits
from mlflow_serving_plugin.registry.samples import sample_request

BASE_PATHS = ("/api/2.0/serving-endpoints", "/ajax-api/2.0/serving-endpoints")
PERMISSIONS_PATH = "/api/2.0/permissions/serving-endpoints"
WELL_KNOWN_PATH = requests.WELL_KNOWN_PATH
DEPLOYMENTS_PATH = "/api/2.0/endpoints"
"""What ``mlflow.deployments`` asks of a server that it knows by address."""

PATHS = (*BASE_PATHS, PERMISSIONS_PATH, DEPLOYMENTS_PATH, WELL_KNOWN_PATH)

View = Callable[..., Any]


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with its routes."""
    for path in BASE_PATHS:
        blueprint = Blueprint("serving-endpoints", __name__)
        # mlflow.deployments puts a slash after the collection's path.
        for number, rule in enumerate(("", "/")):
            blueprint.add_url_rule(rule, f"list{number}", partial(list_all, deps))
            blueprint.add_url_rule(rule, f"create{number}", partial(create, deps), methods=["POST"])
        for name, (rule, method, view) in _OF_ENDPOINT.items():
            blueprint.add_url_rule(f"/<name>{rule}", name, partial(view, deps), methods=[method])
        for name, (rule, method, sentence) in refused.ROUTES.items():
            blueprint.add_url_rule(rule, f"no-{name}", partial(refused.refuse, deps, sentence), methods=[method])
        yield path, blueprint
    blueprint = Blueprint("permissions", __name__)
    blueprint.add_url_rule("/<endpoint_id>", "get", partial(permissions.get_permissions, deps))
    blueprint.add_url_rule(
        "/<endpoint_id>", "set", partial(permissions.set_permissions, deps), methods=["PUT", "PATCH"]
    )
    blueprint.add_url_rule("/<endpoint_id>/permissionLevels", "levels", partial(permissions.permission_levels, deps))
    yield PERMISSIONS_PATH, blueprint
    blueprint = Blueprint("deployments", __name__)
    blueprint.add_url_rule("/", "list", partial(list_deployments, deps))
    blueprint.add_url_rule("/<name>", "get", partial(get_deployment, deps))
    yield DEPLOYMENTS_PATH, blueprint
    blueprint = Blueprint("well-known", __name__)
    blueprint.add_url_rule("", "config", lambda: {})
    yield WELL_KNOWN_PATH, blueprint


def create(deps: ApiDeps) -> dict[str, Any]:
    """Create an endpoint, and begin to make its entities ready."""
    document = change_document()
    return shapes.endpoint(deps.serving.create(caller_of(deps.access), current_workspace(), document))


def list_all(deps: ApiDeps) -> dict[str, Any]:
    """The endpoints that the caller may query."""
    found = deps.serving.find_all(caller_of(deps.access), current_workspace())
    return {"endpoints": [shapes.summary(endpoint) for endpoint in found]}


def get(deps: ApiDeps, name: str) -> dict[str, Any]:
    """One endpoint."""
    return shapes.endpoint(_described(deps, name))


def delete(deps: ApiDeps, name: str) -> dict[str, Any]:
    """Delete an endpoint."""
    deps.serving.delete(caller_of(deps.access), current_workspace(), name)
    return {}


def update(deps: ApiDeps, name: str) -> dict[str, Any]:
    """Begin the update to another configuration."""
    document = change_document()
    return shapes.endpoint(deps.serving.update(caller_of(deps.access), current_workspace(), name, document))


def tag(deps: ApiDeps, name: str) -> dict[str, Any]:
    """Add and remove tags."""
    document = change_document()
    tags = deps.serving.tag(caller_of(deps.access), current_workspace(), name, document)
    return {"tags": shapes.tags(tags)}


def limit(deps: ApiDeps, name: str, *, ai_gateway: bool = False) -> dict[str, Any]:
    """Replace the rate limits, or all that the AI gateway has."""
    document = change_document()
    found = deps.serving.limit(caller_of(deps.access), current_workspace(), name, document, ai_gateway=ai_gateway)
    return {"rate_limits": show_rate_limits(found.spec)} | (show_ai_gateway(found.spec) if ai_gateway else {})


def prewarm(deps: ApiDeps, name: str) -> dict[str, Any]:
    """Wake the entities that sleep, or one; returns before a worker is ready. Ours alone."""
    document = change_document()
    wake(deps.serving, caller_of(deps.access), current_workspace(), name, document)
    return {}


def cancel(deps: ApiDeps, name: str) -> dict[str, Any]:
    """End the update that is under way; the present configuration serves on. Ours alone."""
    change_document()
    cancel_update(deps.serving, caller_of(deps.access), current_workspace(), name)
    return get(deps, name)


def logs(deps: ApiDeps, name: str, entity: str) -> dict[str, Any]:
    """The end of what an entity's workers have printed."""
    found, route = _entity(deps, name, entity)
    return {"logs": read_log(deps.paths.entity_log(found.endpoint.id, route.name), None).logs}


def build_logs(deps: ApiDeps, name: str, entity: str) -> dict[str, Any]:
    """The end of the build log of an entity's environment."""
    _, route = _entity(deps, name, entity)
    if route.build_log is None:
        ready = f"No environment was built: the entity runs in {route.environment}.\n" if route.environment else ""
        return {"logs": ready}
    return {"logs": read_log(Path(route.build_log), None).logs}


def sample(deps: ApiDeps, name: str, entity: str) -> dict[str, Any]:
    """A request that an entity takes, by its example or its signature; null while there is none. For our pages."""
    _, route = _entity(deps, name, entity)
    found = sample_request(Path(route.model_dir), route.example_form) if route.model_dir else None
    return {"sample": None if found is None else asdict(found)}


def metrics(deps: ApiDeps, name: str) -> Response:
    """The endpoint's metrics on this host, in the format of Prometheus."""
    found = _described(deps, name)
    deps.metrics.flush()
    series = read_totals(deps.paths.metrics).items()
    own = {labels: values for labels, values in series if found.endpoint.id in labels[1:2]}
    routes = deps.snapshot.current().only(found.endpoint.id)
    accept = request.headers.get("Accept", "")
    page, content_type = expose(own, routes, workspaces=deps.workspaces, accept=accept)
    return Response(page, content_type=content_type)


def shadow(deps: ApiDeps, name: str) -> dict[str, Any]:
    """How the answers of the endpoint's shadow agree with those of callers, on this host. Ours alone."""
    found = _described(deps, name)
    config = found.spec.present
    if config is None or config.shadow is None or (entity := config.entity(config.shadow.entity)) is None:
        raise NotFoundError(f"Serving endpoint '{found.endpoint.name}' has no shadow.")
    deps.metrics.flush()
    return agreement(config.shadow, found.endpoint.id, entity.key_name, read_totals(deps.paths.metrics))


def shadow_differences(deps: ApiDeps, name: str) -> dict[str, Any]:
    """The last requests that the shadow answered otherwise, on this host, newest first. Ours alone."""
    endpoint = deps.serving.managed(caller_of(deps.access), current_workspace(), name)
    return {"differences": differences.read(deps.paths.shadow, endpoint.id)[::-1]}


def events(deps: ApiDeps, name: str) -> dict[str, Any]:
    """A page of what happened to the endpoint, newest first. Ours alone."""
    page = page_of(read_fields(requests.PAGE))
    found = deps.serving.events(caller_of(deps.access), current_workspace(), name, **page)
    return event_page(found, event)


def openapi(deps: ApiDeps, name: str) -> dict[str, Any]:
    """A description of the endpoint's scoring route."""
    found = _described(deps, name)
    path = f"{deps.static_prefix}/serving-endpoints/{found.endpoint.name}/invocations"
    body = {"content": {"application/json": {"schema": {"type": "object"}}}}
    answer = {"200": {"description": "Predictions", **body}}
    return {
        "openapi": "3.1.0",
        "info": {"title": found.endpoint.name, "version": str(found.spec.versions)},
        "servers": [{"url": request.host_url.rstrip("/")}],
        "paths": {path: {"post": {"requestBody": {"required": True, **body}, "responses": answer}}},
    }


def list_deployments(deps: ApiDeps) -> dict[str, Any]:
    """The endpoints that the caller may query, for ``mlflow.deployments``."""
    found = deps.serving.find_all(caller_of(deps.access), current_workspace())
    return {"endpoints": [shapes.deployment(endpoint) for endpoint in found]}


def get_deployment(deps: ApiDeps, name: str) -> dict[str, Any]:
    """One endpoint, for ``mlflow.deployments``."""
    return shapes.deployment(_described(deps, name))


_OF_ENDPOINT: dict[str, tuple[str, str, View]] = {
    "get": ("", "GET", get),
    "delete": ("", "DELETE", delete),
    "update": ("/config", "PUT", update),
    "tag": ("/tags", "PATCH", tag),
    "limit": ("/rate-limits", "PUT", limit),
    "ai-gateway": ("/ai-gateway", "PUT", partial(limit, ai_gateway=True)),
    "cancel-update": ("/cancel-update", "POST", cancel),
    "prewarm": ("/prewarm", "POST", prewarm),
    "metrics": ("/metrics", "GET", metrics),
    "openapi": ("/openapi", "GET", openapi),
    "shadow": ("/shadow", "GET", shadow),
    "shadow-differences": ("/shadow/differences", "GET", shadow_differences),
    "events": ("/events", "GET", events),
    "logs": ("/served-models/<entity>/logs", "GET", logs),
    "build-logs": ("/served-models/<entity>/build-logs", "GET", build_logs),
    "sample-request": ("/served-models/<entity>/sample-request", "GET", sample),
}
"""Below an endpoint: the rule, the method and the view."""


def _described(deps: ApiDeps, name: str) -> Described:
    return deps.serving.describe(caller_of(deps.access), current_workspace(), name)


def _entity(deps: ApiDeps, name: str, entity: str) -> tuple[Described, EntityRoute]:
    """The entity of that name, of the next configuration where there is one."""
    found = _described(deps, name)
    for config in found.configs:
        served = config.entity(entity)
        if served is not None and (route := found.entities.get(served.key_name)) is not None:
            return found, route
    raise NotFoundError(f"Serving endpoint '{name}' has no entity '{entity}' on this host.")
