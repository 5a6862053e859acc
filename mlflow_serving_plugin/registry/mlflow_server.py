"""Internals of MLflow's server: the only place, beside ``download``, where ``registry`` and ``app`` use any.

Written against MLflow 3.10 to 3.17; ``tests/integration/test_mlflow_internals.py`` fails when an internal changes.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from flask import Flask

from mlflow_serving_plugin.errors import ConfigurationError, ServingError

_SGI, _STORE = "_MLFLOW_SGI_NAME", "_MLFLOW_SERVER_FILE_STORE"
"""Variables that ``mlflow server`` gives to its web workers: the web server's name, and ``--backend-store-uri``."""

_ARTIFACTS_ONLY, _PREFIX = "_MLFLOW_SERVER_ARTIFACTS_ONLY", "_MLFLOW_STATIC_PREFIX"
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
_OTHER_WEB_SERVERS = frozenset({"gunicorn.app.base", "waitress.runner"})


def flask_app() -> Flask:
    """MLflow's own Flask app, which answers the registry API under every web server."""
    from mlflow.server import app

    return app  # type: ignore[no-any-return]


def under_uvicorn() -> bool:
    """Whether this web worker belongs to uvicorn and so needs an ASGI app."""
    name = os.environ.get(_SGI)
    return name == "uvicorn" if name is not None else not _OTHER_WEB_SERVERS & sys.modules.keys()


def is_cli_parent() -> bool:
    """Whether this is the ``mlflow server`` command itself rather than one of its web workers."""
    return _SGI not in os.environ and _STORE not in os.environ


def artifacts_only() -> bool:
    """Whether the server runs with ``--artifacts-only``, that is without a Model Registry."""
    return os.environ.get(_ARTIFACTS_ONLY, "false").lower() == "true"


def static_prefix() -> str:
    """``--static-prefix`` without a slash at its end; empty without one."""
    return os.environ.get(_PREFIX, "").rstrip("/")


def backend_store_uri() -> str:
    """The tracking server's ``--backend-store-uri``."""
    uri = os.environ.get(_STORE)
    if not uri:
        raise ConfigurationError(
            "No tracking store is configured. Start the server with 'mlflow server --app-name serving'."
        )
    return uri


def artifacts_destination() -> str:
    """The tracking server's ``--artifacts-destination``; empty when the server does not serve artifacts."""
    return os.environ.get(_DESTINATION, "")


def registry_store() -> Any:
    """The server's Model Registry store. The first call in a process opens the database. ServingError."""
    from mlflow.server import handlers

    if not hasattr(handlers, "_get_model_registry_store"):
        raise ServingError("The Model Registry of this version of MLflow is not known to the plugin: upgrade it.")
    return handlers._get_model_registry_store()


def tracking_store() -> Any:
    """The server's tracking store: experiments, runs and traces."""
    from mlflow.server.handlers import _get_tracking_store

    return _get_tracking_store()


def mlflow_app() -> Any:
    """MLflow's app as ``mlflow server`` runs it without ``--app-name``: ASGI under uvicorn, else Flask."""
    if under_uvicorn():
        from mlflow.server.fastapi_app import app

        return app
    return flask_app()


def secure(app: Flask) -> None:
    """Give a Flask app of ours MLflow's own host check, CORS rules and security headers."""
    from mlflow import server

    # Not in every MLflow: then the rules of ``access.server_rules`` stand alone.
    if install := getattr(getattr(server, "security", None), "init_security_middleware", None):
        install(app)
