"""An ``mlflow.app`` that knows nothing of serving: whoever calls shows a key, and each key opens some things.

It stands for any auth app that somebody else wrote. It guards MLflow's own routes and no others.
"""

from __future__ import annotations

from flask import Flask, Response, request
from mlflow.server import app as mlflow_app

HEADER = "X-House-Key"
LEVELS = {"the-none-key": 0, "the-read-key": 1, "the-edit-key": 2, "the-manage-key": 3, "the-admin-key": 3}
_NEEDED = {"get": 1, "search": 0, "rename": 2, "update": 2, "set-tag": 2, "delete": 3, "alias": 3}
"""As in MLflow's basic-auth: renaming takes EDIT, deleting takes MANAGE."""


def create_app(app: Flask = mlflow_app) -> Flask:
    """MLflow's Flask app with a lock."""
    app.before_request(_lock)
    return app


def _lock() -> Response | None:
    if request.path == "/health":
        return None
    # MLflow's own client can show it as a password only.
    as_password = request.authorization.password if request.authorization else None
    level = LEVELS.get(request.headers.get(HEADER) or as_password or "")
    if level is None:
        return Response("Show your key.", status=401)
    _, found, action = request.path.partition("/mlflow/registered-models/")
    if found and level < _NEEDED.get(action, 3 if request.method != "GET" else 1) and "create" not in action:
        return Response("That key does not open this.", status=403)
    return None
