"""The auth app ``oidc-auth`` of mlflow-oidc-auth: who calls, it is asked; what they may do, its own functions say."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import picked, unauthenticated
from mlflow_serving_plugin.access.subrequest import InnerApp
from mlflow_serving_plugin.errors import UnavailableError

_WHO = "/api/2.0/mlflow/users/current"
_SENT_ON = ("authorization", "cookie", "host")


class OidcAuth:
    """``inner`` is the app; ``in_workspace``: makes MLflow's stores look at one workspace."""

    challenge = 'Bearer realm="mlflow"'

    def __init__(self, inner: InnerApp, in_workspace: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._inner = inner
        self._in_workspace = in_workspace

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """An identity provider's token, an access token as a password, or the session's cookie."""
        return picked(headers, "authorization", "cookie")

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """Whoever the app says that they are."""
        if "authorization" not in headers and "cookie" not in headers:
            raise unauthenticated(headers, self.challenge)
        sent = {name: headers[name] for name in _SENT_ON if name in headers}
        answer = self._inner.ask("GET", _WHO, sent | {"accept": "application/json"})
        if answer.status >= 500:
            raise UnavailableError("The server cannot check who you are now; its log has the reason.", retry_after_s=2)
        try:
            return User(str(json.loads(answer.body)["username"]))
        except (ValueError, KeyError, TypeError):
            # A redirect to its page for signing in, or a refusal in whatever form.
            raise unauthenticated(headers, self.challenge) from None

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the app grants on the registered model."""
        from mlflow_oidc_auth.utils import permissions

        try:
            if self.is_admin(user):
                return Permission.MANAGE
            with self._in_workspace(workspace):
                if permissions.can_manage_registered_model(name, user.name):
                    return Permission.MANAGE
                return Permission.READ if permissions.can_read_registered_model(name, user.name) else Permission.NONE
        except MlflowException as error:
            if _is_missing(error):
                return Permission.NONE
            raise

    def is_admin(self, user: User) -> bool:
        """Whether the app calls the user an admin."""
        return bool(_profile(str(user.name)).is_admin)

    def account(self, name: str) -> str | None:
        """The number of the user's row, unless the account is switched off."""
        try:
            found = _profile(name)
        except MlflowException as error:
            if _is_missing(error):
                return None
            raise
        return str(found.id) if getattr(found, "active", True) else None


def _profile(name: str) -> Any:
    from mlflow_oidc_auth.store import store

    return store.get_user_profile(name)


def _is_missing(error: MlflowException) -> bool:
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))
