"""MLflow's own auth app ``basic-auth``, called in its web workers. Written against MLflow 3.10 to 3.17."""

from __future__ import annotations

import base64
import functools
import hmac
import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from flask import Flask, Response

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import AccountsProvider, everything, picked, unauthenticated
from mlflow_serving_plugin.errors import ServingError

_OWN_FUNCTION = "mlflow.server.auth:authenticate_request_basic_auth"
_MODEL = "registered_model"
_VERSION = "registered_model_version"


class BasicAuth(AccountsProvider):
    """``flask_app`` is MLflow's; ``in_workspace`` selects a workspace for MLflow's stores."""

    challenge = 'Basic realm="mlflow"'

    def __init__(self, flask_app: Flask, in_workspace: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._flask_app = flask_app
        super().__init__(in_workspace)

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """The password; with a custom ``authorization_function``, all headers that may identify the caller."""
        if _checks_passwords_itself():
            return picked(headers, "authorization")
        return everything(headers)

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller, by the ``authorization_function`` that MLflow is configured with."""
        with self._flask_app.test_request_context("/", headers=list(headers.items())):
            found = _internal("authenticate_request")()
        if isinstance(found, Response) or not getattr(found, "username", None):
            raise unauthenticated(headers, self.challenge)
        return User(str(found.username))

    def _user(self, name: str) -> Any:
        return _internal("store").get_user(name)

    def _granted(self, user: str, workspace: str, name: str) -> Permission:
        # On an unknown model, MLflow's default permission.
        held = _internal("_graphql_get_permission_for_model")(name, user)
        if held.can_manage:
            return Permission.MANAGE
        return Permission.READ if held.can_read and _may_read_versions(_auth(), user, name) else Permission.NONE


def accept_owners() -> Callable[[str], str] | None:
    """Make MLflow's own API take users whom this web worker vouches for. A function that gives a user's credentials.

    None where MLflow does not check passwords itself, but by a custom ``authorization_function``.

    The credentials are a header Authorization whose password is a proof that only this process can make. They never
    leave the process. Both of MLflow's ways to check a password (Flask's and FastAPI's) end in the store.
    """
    store, secret = _internal("store"), os.urandom(32)
    check = getattr(store, "authenticate_user", None)
    if check is None or not _checks_passwords_itself():
        return None

    def proof(name: str) -> str:
        return hmac.new(secret, name.encode("utf-8", "surrogatepass"), "sha256").hexdigest()

    @functools.wraps(check)
    def authenticate_user(username: str, password: str, *args: Any, **options: Any) -> bool:
        given = str(password).encode("utf-8", "surrogatepass")
        if hmac.compare_digest(given, proof(str(username)).encode()):
            return bool(store.has_user(username))
        return bool(check(username, password, *args, **options))

    store.authenticate_user = authenticate_user
    return lambda name: "Basic " + base64.b64encode(f"{name}:{proof(name)}".encode()).decode()


def _checks_passwords_itself() -> bool:
    return bool(_internal("auth_config").authorization_function == _OWN_FUNCTION)


def _internal(name: str) -> Any:
    """A part of the module that is no public API; ServingError when this MLflow has no such part: nobody is let in."""
    if not hasattr(_auth(), name):
        raise ServingError("This version of MLflow does not tell the plugin who may use a model: upgrade the plugin.")
    return getattr(_auth(), name)


def _auth() -> Any:
    """The module. Importing it creates its store, so only a server that runs the app may import it."""
    from mlflow.server import auth

    return auth


def _may_read_versions(auth: Any, user: str, name: str) -> bool:
    """Since 3.17 a user who may read a model can be denied reading the model's versions."""
    if not hasattr(auth, "authorize"):
        return True
    from mlflow.server.auth.requirements import Requirement

    needed = [
        Requirement(_MODEL, name, "read"),
        Requirement(_VERSION, "*", "read", fallback_if_no_grant=((_MODEL, name),)),
    ]
    return bool(auth.authorize(user, (_MODEL, name), needed))
