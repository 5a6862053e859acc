"""The control APIs as one Flask application, which answers below ``PATHS``.

A control API is a module with ``PATHS`` and ``blueprints``; a new one is a line in ``_APIS``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask, Response, request
from werkzeug.routing import Rule

from mlflow_serving_plugin.access.cors import cors_headers, is_preflight
from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.api import failures, server, tokens
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.mlflow_endpoints import routes as mlflow_endpoints
from mlflow_serving_plugin.api.requests import WELL_KNOWN_PATH, WORKSPACES, lowercase_headers, raise_refusal
from mlflow_serving_plugin.api.serving_endpoints import routes as serving_endpoints

_APIS = (server, tokens, mlflow_endpoints, serving_endpoints)

PATHS: tuple[str, ...] = tuple(path for api in _APIS for path in api.PATHS)
"""The application answers at these paths and at all below them."""

LARGEST_BODY_BYTES = 2 * 1024 * 1024
"""Enough for a configuration with the largest environment variables."""


class _Rule(Rule):
    """A rule that finds the function of a request, and builds no URLs.

    Werkzeug 3 compiles code to build URLs for each rule, which takes three quarters of the time of ``create_api``.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        return _builds_no_url


def _builds_no_url(*_: Any, **__: Any) -> tuple[str, str]:
    raise NotImplementedError("The control API builds no URLs.")


def create_api(deps: ApiDeps) -> Flask:
    """Build the application. It holds no state of its own and may serve from any number of threads."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.url_rule_class = _Rule
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A form made from the configuration's schema has its fields in the schema's order.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config[WORKSPACES] = deps.workspaces
    _secure(app, deps)
    app.before_request(raise_refusal)
    failures.install(app)
    app.after_request(_never_cached)
    prefix = deps.static_prefix.rstrip("/")
    for api in _APIS:
        for path, blueprint in api.blueprints(deps):
            label = path.strip("/").replace("/", "-").replace(".", "_")
            app.register_blueprint(blueprint, url_prefix=prefix + path or None, name=f"{label}-{blueprint.name}")
    return app


def _secure(app: Flask, deps: ApiDeps) -> None:
    """MLflow's own checks and ours, on all paths but those that are for everybody."""
    prefix, rules = deps.static_prefix.rstrip("/"), deps.browser_rules
    public = {prefix + server.HEALTH_PATH, prefix + WELL_KNOWN_PATH}
    # Flask runs these in reverse order of registration: this one runs last.
    app.after_request(partial(_across_origins, rules))
    app.before_request(_answer_preflight)
    ours = len(app.before_request_funcs[None])
    deps.secure(app)
    if rules is not None:
        app.before_request(lambda: refuse_forged(rules, request.method, lowercase_headers()))
    # As MLflow's own /health: a load balancer asks by an address of its own.
    checks = app.before_request_funcs[None]
    checks[ours:] = [partial(_unless_public, public, check) for check in checks[ours:]]


def _unless_public(paths: set[str], check: Callable[[], Any]) -> Any:
    return None if request.path in paths else check()


def _answer_preflight() -> Response | None:
    # Before the path is looked at, so that a page can read why its request fails.
    return Response() if is_preflight(request.method, lowercase_headers()) else None


def _across_origins(rules: BrowserRules | None, response: Response) -> Response:
    """Our headers for pages of other origins in place of those of MLflow's middleware.

    Unlike ours, MLflow's let each page on the visitor's own machine read answers.
    """
    for name in [name for name, _ in response.headers if name.lower().startswith("access-control-")]:
        del response.headers[name]
    for name, value in cors_headers(rules, request.method, lowercase_headers()):
        if name == "Vary":
            response.vary.add(value)
        else:
            response.headers[name] = value
    return response


def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
