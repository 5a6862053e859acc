"""The control APIs as one Flask application, which answers below ``PATHS``.

A control API is a module with ``PATHS`` and ``blueprints``; a new one is a line in ``_APIS``.
"""

from __future__ import annotations

from flask import Flask, Response, request

from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.api import failures, server, tokens
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.mlflow_endpoints import routes as mlflow_endpoints
from mlflow_serving_plugin.api.requests import WORKSPACES, lowercase_headers, raise_refusal

_APIS = (server, tokens, mlflow_endpoints)

PATHS: tuple[str, ...] = tuple(path for api in _APIS for path in api.PATHS)
"""The application answers at these paths and at all below them."""

LARGEST_BODY_BYTES = 2 * 1024 * 1024
"""Enough for a configuration with the largest environment variables."""


def create_api(deps: ApiDeps) -> Flask:
    """Build the application. It holds no state of its own and may serve from any number of threads."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A form made from the configuration's schema has its fields in the schema's order.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config[WORKSPACES] = deps.workspaces
    rules = deps.browser_rules
    if rules is not None:
        # Flask runs these in reverse order of registration: this one runs last.
        app.after_request(lambda response: _hide_from_other_sites(response, rules))
    deps.secure(app)
    if rules is not None:
        app.before_request(lambda: refuse_forged(rules, request.method, lowercase_headers()))
    app.before_request(raise_refusal)
    failures.install(app)
    app.after_request(_never_cached)
    prefix = deps.static_prefix.rstrip("/")
    for api in _APIS:
        for path, blueprint in api.blueprints(deps):
            label = path.strip("/").replace("/", "-").replace(".", "_")
            app.register_blueprint(blueprint, url_prefix=prefix + path or None, name=f"{label}-{blueprint.name}")
    return app


def _hide_from_other_sites(response: Response, rules: BrowserRules) -> Response:
    """Unlike MLflow, let pages on the visitor's own machine read replies only if their origin is allowed by name."""
    origin = request.headers.get("Origin")
    if origin and not rules.allowed_origin(origin):
        for name in [name for name, _ in response.headers if name.lower().startswith("access-control-")]:
            del response.headers[name]
    return response


def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
