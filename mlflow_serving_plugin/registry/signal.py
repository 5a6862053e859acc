"""The change signal: a hook in MLflow's registry API, in each web worker, reports that a model may have changed."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask, Response, request

_CHANGING = (
    "/mlflow/registered-models/",
    "/mlflow/model-versions/",
)
_READING = ("/get", "/search", "/list", "/get-latest-versions", "/get-download-uri")


def watch_registry(app: Flask, notify: Callable[[str | None, str | None], None]) -> None:
    """Call ``notify(workspace header or None, model name or None)`` after each request that changed the registry."""

    @app.after_request
    def report(response: Response) -> Response:
        if request.method != "GET" and response.status_code < 400 and _changes_registry():
            notify(request.headers.get("X-MLFLOW-WORKSPACE"), _model_name())
        return response


def _changes_registry() -> bool:
    rule = request.url_rule.rule if request.url_rule else ""
    return any(part in rule for part in _CHANGING) and not rule.endswith(_READING)


def _model_name() -> str | None:
    body = request.get_json(silent=True)
    name = body.get("name") if isinstance(body, dict) else None
    # MLflow also takes the parameters of a DELETE from the query.
    found = name or request.args.get("name")
    return found if isinstance(found, str) else None
