"""Internals of MLflow's server: the only place, beside ``download``, where ``registry`` and ``app`` use any.

Written against MLflow 3.10 to 3.17; ``tests/integration/test_mlflow_internals.py`` fails when an internal changes.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from typing import Any

from flask import Flask

from mlflow_serving_plugin.errors import ConfigurationError, ServingError

_SGI, _STORE = "_MLFLOW_SGI_NAME", "_MLFLOW_SERVER_FILE_STORE"
"""Variables that ``mlflow server`` gives to its web workers: the web server's name, and ``--backend-store-uri``."""

_ARTIFACTS_ONLY, _PREFIX = "_MLFLOW_SERVER_ARTIFACTS_ONLY", "_MLFLOW_STATIC_PREFIX"
_DESTINATION = "_MLFLOW_SERVER_ARTIFACT_DESTINATION"
_ADDRESS = "_MLFLOW_SERVING_OWN_ADDRESS"
"""Ours: the web workers do not know where their web server listens, and the command does."""

_HIDES_ADDRESS = re.compile(
    r"(?:^|\s)(?:-b|-c|--(?:bind|certfile|config|fd|host|keyfile|listen|port|root-path|ssl-\S+|uds|unix-socket"
    r"|url-prefix|url-scheme))(?=[\s=]|$)"
)
"""Options of uvicorn, gunicorn and waitress by which the server answers elsewhere, or by TLS."""

_HIDING_VARIABLES = ("GUNICORN_CMD_ARGS", "UVICORN_SSL_KEYFILE", "UVICORN_UDS", "UVICORN_FD", "UVICORN_ROOT_PATH")
_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104
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


def hand_out_address() -> None:
    """In the ``mlflow server`` command: let the web workers know where their web server will listen."""
    import click

    context = click.get_current_context(silent=True)
    os.environ[_ADDRESS] = "" if context is None else address_in(context.params, os.environ)


def own_address() -> str:
    """The server's address on this host, with the static prefix; empty where it is not known."""
    address = os.environ.get(_ADDRESS, "")
    return address and address + static_prefix()


def address_in(options: Mapping[str, Any], environ: Mapping[str, str]) -> str:
    """Where a server with these options of ``mlflow server`` listens, as this host reaches it; empty: not known."""
    passed_on = " ".join(str(options.get(f"{name}_opts") or "") for name in ("uvicorn", "gunicorn", "waitress"))
    if _HIDES_ADDRESS.search(passed_on) or any(environ.get(name) for name in _HIDING_VARIABLES):
        return ""
    host, port = options.get("host"), options.get("port")
    if host is None or not port:
        return ""
    host = _EVERY_ADDRESS.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


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
