"""The auth app that serving is wrapped around: finds, prepares and loads the app, and chooses the app's provider.

``mlflow server`` treats ``--app-name basic-auth`` in a special way, which is repeated here. Written against
MLflow 3.10 to 3.18.
"""

from __future__ import annotations

import importlib
import os
import secrets
import types
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import metadata
from typing import Any

from flask import Flask

from mlflow_serving_plugin.access import basic_auth
from mlflow_serving_plugin.access.basic_auth import BasicAuth
from mlflow_serving_plugin.access.oidc_auth import OidcAuth, tell_of_deleted_users
from mlflow_serving_plugin.access.other_app import OtherApp
from mlflow_serving_plugin.access.provider import Provider
from mlflow_serving_plugin.access.subrequest import AsgiInner, WsgiInner
from mlflow_serving_plugin.errors import ConfigurationError

BASIC_AUTH = "basic-auth"
OIDC_AUTH = "oidc-auth"
_VARIABLE = "MLFLOW_SERVING_BASE_APP"
_DELEGATION_KEY = "_MLFLOW_ASSISTANT_DELEGATION_SIGNING_KEY"


def prepare(name: str) -> None:
    """Prepare the app once, in the ``mlflow server`` command, before web workers start.

    Otherwise web workers would migrate the auth database at the same time. ConfigurationError when there is no app of
    that name.
    """
    find(name)
    if name != BASIC_AUTH:
        return
    from mlflow import server

    if bootstrap := getattr(server, "_bootstrap_basic_auth", None):
        bootstrap()
        os.environ["_MLFLOW_AUTH_ADMIN_BOOTSTRAPPED"] = "true"
    # All web workers and the job runner must have the same token.
    os.environ.setdefault("_MLFLOW_INTERNAL_GATEWAY_AUTH_TOKEN", secrets.token_hex(32))
    _hand_out_delegation_key(server)


def _hand_out_delegation_key(server: Any) -> None:
    """Since 3.18. Not in this process's environment, because the job runner inherits it and must not have the key."""
    from mlflow import environment_variables

    if not hasattr(environment_variables, _DELEGATION_KEY):
        return
    inner, key = server._exec_cmd, secrets.token_hex(32)

    def exec_cmd(*args: Any, extra_env: dict[str, str] | None = None, **kwargs: Any) -> Any:
        return inner(*args, extra_env={**(extra_env or {}), _DELEGATION_KEY: key}, **kwargs)

    server._exec_cmd = exec_cmd


def find(name: str) -> str:
    """``module:object`` of an app by its entry point's name; ConfigurationError."""
    apps = {entry.name: entry.value for entry in metadata.entry_points(group="mlflow.app")}
    if name not in apps:
        there = ", ".join(sorted(set(apps) - {"serving", "serving-basic-auth"})) or "none"
        raise ConfigurationError(f"{_VARIABLE} is {name!r}, and no such app is installed. Installed: {there}.")
    if apps[name].startswith("mlflow_serving_plugin."):
        raise ConfigurationError(f"{_VARIABLE} is {name!r}, but serving cannot be wrapped around itself.")
    return apps[name]


def load(name: str, *, under_uvicorn: bool) -> AsgiInner | WsgiInner:
    """The app, for the present web server; ConfigurationError when the app cannot run under that web server."""
    module, _, attribute = find(name).rpartition(":")
    try:
        app = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise ConfigurationError(f"{_VARIABLE} is {name!r}, which cannot be imported: {error}.") from error
    if isinstance(app, types.FunctionType):
        app = app()
    if not under_uvicorn:
        if not isinstance(app, Flask) and _is_asgi(app):
            raise ConfigurationError(
                f"The app {name!r} runs under uvicorn only: start the server without other options."
            )
        return WsgiInner(app)
    if isinstance(app, Flask):
        from mlflow.server.fastapi_app import create_fastapi_app

        app = create_fastapi_app(app)
    return AsgiInner(app)


def provider_for(
    name: str,
    inner: AsgiInner | WsgiInner,
    flask_app: Flask,
    prefix: str,
    in_workspace: Callable[[str], AbstractContextManager[Any]],
) -> Provider:
    """The provider of callers and permissions for the app."""
    if name == BASIC_AUTH:
        return BasicAuth(flask_app, in_workspace)
    if name == OIDC_AUTH:
        return OidcAuth(inner, in_workspace)
    return OtherApp(inner, prefix)


def accept_owners(name: str) -> Callable[[str], str] | None:
    """Make MLflow's API take users for whom this web worker vouches; None where the app gives no way to do so."""
    return basic_auth.accept_owners() if name == BASIC_AUTH else None


def forget_with_user(name: str, forget: Callable[[str], None]) -> None:
    """Remove a user's tokens when the app deletes the user by a route that is not MLflow's own."""
    if name == OIDC_AUTH:
        tell_of_deleted_users(forget)


def _is_asgi(app: Any) -> bool:
    from starlette.applications import Starlette

    return isinstance(app, Starlette)
