"""Hooks in MLflow's own API, in each web worker: a registered model may have changed, a user was deleted."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, request

from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.host.messages import Changed, Nudge

_CHANGING = ("/mlflow/registered-models/", "/mlflow/model-versions/")
_READING = ("/get", "/search", "/list", "/get-latest-versions", "/get-download-uri")


def watch_registry(app: Flask, send: Callable[[Nudge], None], *, workspaces: bool) -> None:
    """Tell the controller after each request that changed the registry. ``workspaces``: whether the server has any."""

    @app.after_request
    def report(response: Response) -> Response:
        if request.method != "GET" and response.status_code < 400 and _changes_registry():
            send(_nudge(workspaces))
        return response


def watch_deleted_users(app: Flask, forget: Callable[[str], None]) -> None:
    """Call ``forget`` with the name of each user whom MLflow deletes: a database may give the row's number again."""

    @app.after_request
    def report(response: Response) -> Response:
        if request.method == "DELETE" and _rule().endswith("/mlflow/users/delete") and response.status_code < 400:
            body = request.get_json(silent=True)
            name = body.get("username") if isinstance(body, dict) else None
            if isinstance(name, str):
                forget(name)
        return response


def _rule() -> str:
    return request.url_rule.rule if request.url_rule else ""


def _changes_registry() -> bool:
    rule = _rule()
    return any(part in rule for part in _CHANGING) and not rule.endswith(_READING)


def _nudge(workspaces: bool) -> Nudge:
    headers = {name.lower(): value for name, value in request.headers}
    try:
        return Changed(workspace_of(headers, enabled=workspaces), _model_name())
    except InvalidParameterError:
        # MLflow accepted a header that names no workspace: look at all endpoints.
        return Changed()


def _model_name() -> str | None:
    body = request.get_json(silent=True)
    name = body.get("name") if isinstance(body, dict) else None
    # MLflow also takes the parameters of a DELETE from the query.
    found = name or request.args.get("name")
    return found if isinstance(found, str) else None
