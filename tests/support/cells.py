"""Every route of the plugin, and which status each kind of caller is to get there: one table for any auth app."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import requests
from mlflow import MlflowClient

from mlflow_serving_plugin.api.mlflow_endpoints.routes import BASE_PATHS
from mlflow_serving_plugin.api.server import AUDIT_PATH, DIAGNOSIS_PATH, HEALTH_PATH, METRICS_PATH
from mlflow_serving_plugin.api.serving_endpoints.routes import BASE_PATHS as SERVING_PATHS
from mlflow_serving_plugin.api.serving_endpoints.routes import DEPLOYMENTS_PATH, PERMISSIONS_PATH, WELL_KNOWN_PATH
from mlflow_serving_plugin.api.tokens import PATHS as TOKEN_PATHS
from support import eventually
from support.models import Models, register
from support.server import HTTP_S, TrackingServer

KINDS = ("anonymous", "wrong", "none", "read", "edit", "manage", "admin")
"""Callers: without credentials, with wrong ones, and users by their permission on both models."""

SERVED, SPARE = "iris", "spare"
"""The first is served in version 1. The second is enabled, has no versions, and may be changed."""

IRIS = {"dataframe_records": [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]}


def _statuses(none: int, read: int, edit: int, manage: int, admin: int, *, stranger: int = 401) -> dict[str, int]:
    return dict(zip(KINDS, (stranger, stranger, none, read, edit, manage, admin), strict=True))


NOT_ENABLED = 0
"""As of a model without serving: 400 on ``endpoints``, 404 on ``endpoints-v2``."""

READING = _statuses(NOT_ENABLED, 200, 200, 200, 200)
OVERVIEW = _statuses(404, 200, 200, 200, 200)
CHANGING = _statuses(404, 403, 403, 200, 200)
CONFIGURING = _statuses(NOT_ENABLED, 403, 403, 200, 200)
LOGGED = _statuses(NOT_ENABLED, 403, 403, 404, 404)
SCORING = _statuses(404, 200, 200, 200, 200)
KNOWN = _statuses(200, 200, 200, 200, 200)
KNOWN_WRONG = _statuses(400, 400, 400, 400, 400)
KNOWN_NOT_FOUND = _statuses(404, 404, 404, 404, 404)
ADMINS = _statuses(403, 403, 403, 403, 200)
ALL = _statuses(200, 200, 200, 200, 200, stranger=200)


SPLIT = "table"
"""A serving endpoint of SERVED, that an admin has made."""

OF_ENDPOINT = _statuses(404, 200, 200, 200, 200)
OF_MANAGER = _statuses(404, 403, 403, 200, 200)


@dataclass(frozen=True)
class Route:
    """One route below a base, what is sent to it, and the statuses by kind of caller."""

    method: str
    path: str
    statuses: Mapping[str, int]
    fields: Mapping[str, Any] = field(default_factory=dict)
    ajax_only: bool = False


_MODEL = {"registered_model_name": SERVED}
_VERSION = {**_MODEL, "endpoint_version_name": "1"}
_ENDPOINT = {"serving_endpoint_name": SPLIT}
_CHANGED = {"registered_model_name": SPARE}
_CONFIG = {**_CHANGED, "config": {"max_batch_rows": 16}}

ENDPOINT_ROUTES = (
    Route("GET", "list", KNOWN),
    Route("GET", "get-status", READING, _MODEL),
    Route("GET", "get-config", READING, _MODEL),
    Route("GET", "list-versions", READING, _MODEL),
    Route("GET", "list-version-aliases", READING, _MODEL),
    Route("GET", "get-version-status", READING, _VERSION),
    Route("GET", "get-version-replicas", READING, _VERSION),
    Route("GET", "get-version-logs", READING, _VERSION),
    Route("POST", "get-version-logs", READING, _VERSION),
    Route("GET", "get-version-build-logs", READING, _VERSION),
    Route("POST", "get-version-build-logs", READING, _VERSION),
    Route("GET", "get-event-history", READING, _MODEL),
    Route("GET", "get-history", READING, _MODEL),
    Route("GET", "list-requests", CONFIGURING, _MODEL),
    Route("GET", "get-request", LOGGED, {**_MODEL, "request_id": "no such request"}),
    Route("GET", "get-drift", CONFIGURING, _VERSION),
    # READ sees the charts of a serving endpoint, too, and no payloads.
    Route("GET", "get-history", OF_ENDPOINT, _ENDPOINT),
    Route("GET", "list-requests", OF_MANAGER, _ENDPOINT),
    Route("GET", "get-request", _statuses(404, 403, 403, 404, 404), {**_ENDPOINT, "request_id": "no such request"}),
    Route("GET", "get-drift", OF_MANAGER, {**_ENDPOINT, "served_entity_name": "one"}),
    Route("POST", "prewarm", READING, _MODEL),
    Route("GET", "get-input-example", READING, _VERSION, ajax_only=True),
    Route("GET", "get-sample-request", READING, _VERSION, ajax_only=True),
    Route("GET", "get-access", KNOWN, _MODEL, ajax_only=True),
    Route("GET", "get-overview", OVERVIEW, _MODEL, ajax_only=True),
    Route("GET", "list-overviews", KNOWN, ajax_only=True),
    # In this order: whoever may disable it enables it again.
    Route("PUT", "update-compute-config", CONFIGURING, _CONFIG),
    Route("PUT", "update-cluster-config", CONFIGURING, _CONFIG),
    Route("POST", "disable", CHANGING, _CHANGED),
    Route("POST", "enable", CHANGING, _CHANGED),
)
TOKEN_ROUTES = (
    Route("POST", "create", KNOWN, {"comment": "of the table", "lifetime_seconds": 600}),
    Route("GET", "list", KNOWN),
    Route("POST", "delete", KNOWN_NOT_FOUND, {"token_id": "no such token"}),
)
SERVER_ROUTES = (
    Route("GET", HEALTH_PATH, ALL),
    Route("GET", AUDIT_PATH, ADMINS),
    Route("GET", METRICS_PATH, ADMINS),
    Route("GET", DIAGNOSIS_PATH, ADMINS),
)
SCORING_ROUTES = (
    Route("POST", "invocations", SCORING, IRIS),
    Route("GET", "ping", SCORING),
    Route("GET", "schema", SCORING),
)
_ASKED = {"model": SERVED, "messages": [], "input": "a"}
# Whoever may score the model gets as far as the model, which is a table's and refuses a text.
_REFUSED = _statuses(404, 400, 400, 400, 400)
OPENAI_ROUTES = (
    Route("GET", "/serving-endpoints/models", KNOWN),
    Route("GET", f"/serving-endpoints/models/{SERVED}", SCORING),
    *(
        Route("POST", f"/serving-endpoints/{path}", _REFUSED, _ASKED)
        for path in ("chat/completions", "responses", "embeddings")
    ),
    Route("POST", f"/model/{SERVED}/1/v1/chat/completions", _REFUSED, _ASKED),
    Route("GET", f"/model/{SERVED}/1/v1/models", SCORING),
)
V2_ROUTES = (
    Route("GET", "/v2", ALL),
    Route("GET", "/v2/health/live", ALL),
    Route("GET", "/v2/health/ready", ALL),
    Route("GET", f"/v2/models/{SERVED}", SCORING),
    Route("GET", f"/v2/models/{SERVED}/versions/1/ready", SCORING),
    Route("POST", f"/v2/models/{SERVED}/infer", _REFUSED, {"inputs": []}),
)
REFUSED = _statuses(404, 400, 400, 400, 400)
_TAGS = {"add_tags": [{"key": "of the table"}]}

SERVING_ROUTES = (
    Route("GET", "", KNOWN),
    Route("GET", "/", KNOWN),
    Route("POST", "", KNOWN_WRONG, {"name": SPLIT}),
    Route("POST", "/", KNOWN_WRONG, {"name": SPLIT}),
    Route("GET", "/<name>", OF_ENDPOINT),
    Route("PATCH", "/<name>/tags", OF_MANAGER, _TAGS),
    Route("PUT", "/<name>/rate-limits", OF_MANAGER, {"rate_limits": []}),
    Route("PUT", "/<name>/ai-gateway", OF_MANAGER, {"rate_limits": []}),
    Route("POST", "/<name>/prewarm", OF_ENDPOINT),
    # A manager gets through the door; there is no update to cancel.
    Route("POST", "/<name>/cancel-update", _statuses(404, 403, 403, 409, 409)),
    Route("GET", "/<name>/metrics", OF_ENDPOINT),
    Route("GET", "/<name>/openapi", OF_ENDPOINT),
    Route("GET", "/<name>/events", OF_ENDPOINT),
    Route("GET", "/<name>/shadow", KNOWN_NOT_FOUND),
    Route("GET", "/<name>/shadow/differences", OF_MANAGER),
    Route("GET", "/<name>/served-models/<entity>/logs", OF_ENDPOINT),
    Route("GET", "/<name>/served-models/<entity>/build-logs", OF_ENDPOINT),
    Route("GET", "/<name>/served-models/<entity>/sample-request", OF_ENDPOINT),
    # A manager who is refused for a field has got through the door, and changes nothing.
    Route("PUT", "/<name>/config", _statuses(404, 403, 403, 400, 400), {"served_entities": "none"}),
    # What Databricks has, and this server has not.
    Route("POST", "/pt", KNOWN_WRONG),
    Route("PUT", "/pt/<name>/config", KNOWN_WRONG),
    Route("PATCH", "/<name>/notifications", _statuses(404, 403, 403, 400, 400)),
    Route("PATCH", "/<name>/telemetry-config", _statuses(404, 403, 403, 400, 400)),
    # Of an endpoint that is not there: the table needs its own.
    Route("DELETE", "/<name>", KNOWN_NOT_FOUND),
)
PERMISSION_ROUTES = (
    Route("GET", "/<endpoint_id>", OF_ENDPOINT),
    Route("GET", "/<endpoint_id>/permissionLevels", OF_ENDPOINT),
    Route("PUT", "/<endpoint_id>", REFUSED),
    Route("PATCH", "/<endpoint_id>", REFUSED),
)
DEPLOYMENT_ROUTES = (Route("GET", "/", KNOWN), Route("GET", "/<name>", OF_ENDPOINT))
SPLIT_ROUTES = (
    Route("POST", "/serving-endpoints/<name>/invocations", SCORING, IRIS),
    Route("POST", "/serving-endpoints/<name>/served-models/<entity>/invocations", SCORING, IRIS),
    Route("POST", "/endpoints/<name>/invocations", SCORING, IRIS),
)
_EVERYWHERE = ("/get-status", "/update-compute-config")

ROOTS = ("model", "model-endpoint", "ajax-model")


def put_up(server: TrackingServer, client: MlflowClient, models: Models) -> None:
    """Have the server serve both models; ``client`` may register them."""
    register(client, SERVED, models.path("iris-1"))
    client.create_registered_model(SPARE)
    server.enable(SERVED)
    server.enable(SPARE)
    server.wait_ready(SERVED, 1)
    entity = {"name": "one", "entity_name": SERVED, "entity_version": "1"}
    made = requests.post(
        f"{server.url}{SERVING_PATHS[0]}",
        json={"name": SPLIT, "config": {"served_entities": [entity]}},
        headers=server.credentials,
        timeout=HTTP_S,
    )
    assert made.status_code == 200, made.text
    eventually(lambda: _described(server)["state"]["ready"] == "READY")


def _described(server: TrackingServer) -> dict[str, Any]:
    """The serving endpoint of the table."""
    url = f"{server.url}{SERVING_PATHS[0]}/{SPLIT}"
    return requests.get(url, headers=server.credentials, timeout=HTTP_S).json()


def table() -> Iterator[Route]:
    """Every route with its whole path."""
    for base in BASE_PATHS:
        for route in ENDPOINT_ROUTES:
            if base.ajax or not route.ajax_only:
                not_enabled = 404 if base.v2 else 400
                statuses = {kind: status or not_enabled for kind, status in route.statuses.items()}
                yield Route(route.method, f"{base.path}/{route.path}", statuses, route.fields)
    for path in TOKEN_PATHS:
        yield from (Route(r.method, f"{path}/{r.path}", r.statuses, r.fields) for r in TOKEN_ROUTES)
    yield from SERVER_ROUTES
    yield from OPENAI_ROUTES
    yield from V2_ROUTES
    yield Route("GET", WELL_KNOWN_PATH, ALL)
    below = {PERMISSIONS_PATH: PERMISSION_ROUTES, DEPLOYMENTS_PATH: DEPLOYMENT_ROUTES}
    for path, routes in {**dict.fromkeys(SERVING_PATHS, SERVING_ROUTES), **below}.items():
        yield from (Route(r.method, f"{path}{r.path}", r.statuses, r.fields) for r in routes)
    yield from SPLIT_ROUTES
    for root in ROOTS:
        yield from (Route(r.method, f"/{root}/{SERVED}/1/{r.path}", r.statuses, r.fields) for r in SCORING_ROUTES)


def cells() -> list[Route]:
    """The routes that are asked: of the base paths, one in full, and two routes of the others, which are its names."""
    in_full = next(base.path for base in BASE_PATHS if base.ajax)
    names = tuple(f"{base.path}/" for base in BASE_PATHS if base.path != in_full)
    return [route for route in table() if not route.path.startswith(names) or route.path.endswith(_EVERYWHERE)]


def wrong_cells(server: TrackingServer, kind: str, headers: Mapping[str, str]) -> list[str]:
    """Ask as one caller; what was answered otherwise than the table has it."""
    named = {"<name>": SPLIT, "<entity>": "one", "<endpoint_id>": _described(server)["id"]}
    # Strangers change nothing, so order does not matter; and a guess of a password is answered a second late.
    with ThreadPoolExecutor(8 if kind in {"anonymous", "wrong"} else 1) as pool:
        return [said for said in pool.map(lambda route: _wrong(server, kind, headers, route, named), cells()) if said]


def _wrong(
    server: TrackingServer, kind: str, headers: Mapping[str, str], route: Route, named: Mapping[str, str]
) -> str | None:
    path = route.path.replace("<name>", "no-such-endpoint") if route.method == "DELETE" else route.path
    for placeholder, name in named.items():
        path = path.replace(placeholder, name)
    sent = {"params": route.fields} if route.method == "GET" else {"json": route.fields}
    response = requests.request(route.method, f"{server.url}{path}", headers=dict(headers), timeout=HTTP_S, **sent)
    expected = route.statuses[kind]
    asked = f"{route.method} {route.path} as {kind}"
    if response.status_code != expected:
        return f"{asked}: {response.status_code}, not {expected}: {response.text[:200]}"
    if expected == 401 and "WWW-Authenticate" not in response.headers:
        return f"{asked}: 401 without WWW-Authenticate"
    return None
