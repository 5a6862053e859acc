"""MLflow's own auth app ``basic-auth``, called in its web workers. Written against MLflow 3.10 to 3.17."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from flask import Flask, Response
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import everything_but_noise, picked, unauthenticated

_OWN_FUNCTION = "mlflow.server.auth:authenticate_request_basic_auth"
_MODEL = "registered_model"
_VERSION = "registered_model_version"


class BasicAuth:
    """``flask_app`` is MLflow's; ``in_workspace`` selects a workspace for MLflow's stores."""

    challenge = 'Basic realm="mlflow"'

    def __init__(self, flask_app: Flask, in_workspace: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._flask_app = flask_app
        self._in_workspace = in_workspace

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """The password; with a custom ``authorization_function``, all headers that may identify the caller."""
        if _auth().auth_config.authorization_function == _OWN_FUNCTION:
            return picked(headers, "authorization")
        rest = everything_but_noise(headers)
        return picked(rest, *sorted(rest)) + "\x00".join(sorted(rest)).encode()

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller, by the ``authorization_function`` that MLflow is configured with."""
        with self._flask_app.test_request_context("/", headers=list(headers.items())):
            found = _auth().authenticate_request()
        if isinstance(found, Response) or not getattr(found, "username", None):
            raise unauthenticated(headers, self.challenge)
        return User(str(found.username))

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """The permission that MLflow grants on the model; on an unknown model MLflow's default permission."""
        try:
            if self.is_admin(user):
                return Permission.MANAGE
            with self._in_workspace(workspace):
                return _granted(str(user.name), name)
        except MlflowException as error:
            if _is_missing(error):
                return Permission.NONE
            raise

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin in MLflow."""
        return bool(_auth().store.get_user(str(user.name)).is_admin)

    def account(self, name: str) -> str | None:
        """The id of the user's row."""
        try:
            return str(_auth().store.get_user(name).id)
        except MlflowException as error:
            if _is_missing(error):
                return None
            raise


def _auth() -> Any:
    """The module. Importing it creates its store, so only a server that runs the app may import it."""
    from mlflow.server import auth

    return auth


def _granted(user: str, name: str) -> Permission:
    auth = _auth()
    held = auth._graphql_get_permission_for_model(name, user)
    if held.can_manage:
        return Permission.MANAGE
    return Permission.READ if held.can_read and _may_read_versions(auth, user, name) else Permission.NONE


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


def _is_missing(error: MlflowException) -> bool:
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))
