"""The control API as one Flask application, to which ``dispatch`` gives the requests under its base paths."""

from __future__ import annotations

from flask import Flask, Response, request

from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.api import failures
from mlflow_serving_plugin.api.audit import AuditView
from mlflow_serving_plugin.api.bases import BASES, TOKEN_BASES
from mlflow_serving_plugin.api.context import WORKSPACES, Context, header_names_lowered
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.endpoints import EndpointViews
from mlflow_serving_plugin.api.health import HealthView
from mlflow_serving_plugin.api.history import HistoryViews
from mlflow_serving_plugin.api.metrics import MetricsView
from mlflow_serving_plugin.api.pages import PageViews
from mlflow_serving_plugin.api.tokens import TokenViews
from mlflow_serving_plugin.api.versions import VersionViews

LARGEST_BODY_BYTES = 2 * 1024 * 1024
"""Room for a configuration with the largest environment variables."""


def create_api(deps: ApiDeps) -> Flask:
    """Build the application. It holds no state of its own and may serve from any number of threads."""
    app = Flask(__name__, static_folder=None, template_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST_BODY_BYTES
    # A form made from the configuration's schema has its fields in the schema's order.
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.config[WORKSPACES] = deps.workspaces
    rules = deps.browser_rules
    if rules is not None:
        # What is done to a reply first is said last.
        app.after_request(lambda response: _unreadable_elsewhere(response, rules))
    deps.secure(app)
    if rules is not None:
        app.before_request(lambda: refuse_forged(rules, request.method, header_names_lowered()))
    failures.install(app)
    app.after_request(_never_cached)
    prefix = deps.static_prefix.rstrip("/")
    app.register_blueprint(HealthView(deps).blueprint(), url_prefix=prefix or None)
    app.register_blueprint(AuditView(deps).blueprint(), url_prefix=prefix or None)
    app.register_blueprint(MetricsView(deps).blueprint(), url_prefix=prefix or None)
    for path in TOKEN_BASES:
        app.register_blueprint(TokenViews(deps).blueprint(), url_prefix=prefix + path, name=f"tokens-{path[1:4]}")
    for base in BASES:
        context = Context(deps, base)
        label = base.path.strip("/").replace("/", "-").replace(".", "_")
        for views in (EndpointViews(context), VersionViews(context), HistoryViews(context), PageViews(context)):
            blueprint = views.blueprint()
            app.register_blueprint(blueprint, url_prefix=prefix + base.path, name=f"{label}-{blueprint.name}")
    return app


def _unreadable_elsewhere(response: Response, rules: BrowserRules) -> Response:
    """MLflow lets any page of the visitor's own machine read with the visitor's password; here it has to be named."""
    origin = request.headers.get("Origin")
    if origin and not rules.allowed_origin(origin):
        for name in [name for name, _ in response.headers if name.lower().startswith("access-control-")]:
            del response.headers[name]
    return response


def _never_cached(response: Response) -> Response:
    response.headers["Cache-Control"] = "no-store"
    return response
