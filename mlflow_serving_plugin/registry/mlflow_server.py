"""Internals of MLflow's server: the only place, beside ``download``, where ``registry`` and ``app`` use any.

Written against MLflow 3.10 to 3.17; ``tests/integration/test_mlflow_internals.py`` fails when an internal changes.
"""

from __future__ import annotations

import os
from typing import Any

from flask import Flask

from mlflow_serving_plugin.errors import ConfigurationError


def flask_app() -> Flask:
    """MLflow's own Flask app, which answers the registry API under every web server."""
    from mlflow.server import app

    return app  # type: ignore[no-any-return]


def under_uvicorn() -> bool:
    """Whether this web worker belongs to uvicorn and so needs an ASGI app."""
    return os.environ.get("_MLFLOW_SGI_NAME") == "uvicorn"


def is_cli_parent() -> bool:
    """Whether this is the ``mlflow server`` command itself rather than one of its web workers."""
    return "_MLFLOW_SGI_NAME" not in os.environ


def artifacts_only() -> bool:
    """Whether the server runs with ``--artifacts-only``, that is without a Model Registry."""
    from mlflow.server import ARTIFACTS_ONLY_ENV_VAR

    return os.environ.get(ARTIFACTS_ONLY_ENV_VAR, "false").lower() == "true"


def static_prefix() -> str:
    """``--static-prefix`` without a slash at its end; empty without one."""
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR

    return os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")


def backend_store_uri() -> str:
    """The tracking server's ``--backend-store-uri``."""
    from mlflow.server import BACKEND_STORE_URI_ENV_VAR

    uri = os.environ.get(BACKEND_STORE_URI_ENV_VAR)
    if not uri:
        raise ConfigurationError(
            "No tracking store is configured. Start the server with 'mlflow server --app-name serving'."
        )
    return uri


def artifacts_destination() -> str:
    """The tracking server's ``--artifacts-destination``; empty when the server does not serve artifacts."""
    from mlflow.server import ARTIFACTS_DESTINATION_ENV_VAR

    return os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR, "")


def registry_store() -> Any:
    """The server's Model Registry store. The first call in a process opens the database."""
    from mlflow.server.handlers import _get_model_registry_store

    return _get_model_registry_store()


def mlflow_app() -> Any:
    """MLflow's app as ``mlflow server`` runs it without ``--app-name``: ASGI under uvicorn, else Flask."""
    if under_uvicorn():
        from mlflow.server.fastapi_app import app

        return app
    return flask_app()


def secure(app: Flask) -> None:
    """Give a Flask app of ours MLflow's own host check, CORS rules and security headers."""
    from mlflow.server import security

    security.init_security_middleware(app)
