"""The auth app ``oidc-auth`` of mlflow-oidc-auth: requests identify callers, its functions give permissions.

Written against mlflow-oidc-auth 10.1 and 11.0. The app caches permissions for ``PERMISSION_CACHE_TTL_SECONDS`` in each
web worker (by default 30), in addition to ``auth_cache_s``.
"""

from __future__ import annotations

import contextvars
import functools
import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import AccountsProvider, picked, unauthenticated
from mlflow_serving_plugin.access.subrequest import InnerApp
from mlflow_serving_plugin.errors import TemporarilyUnavailableError

_WHO = "/api/2.0/mlflow/users/current"
_SENT_ON = ("authorization", "cookie", "host")


class OidcAuth(AccountsProvider):
    """``inner`` is the app; ``in_workspace`` selects a workspace for MLflow's stores."""

    challenge = 'Bearer realm="mlflow"'

    def __init__(self, inner: InnerApp, in_workspace: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._inner = inner
        super().__init__(in_workspace)

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """An identity provider's token, an access token as a password, or the session's cookie."""
        return picked(headers, "authorization", "cookie")

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller, as identified by the app."""
        if "authorization" not in headers and "cookie" not in headers:
            raise unauthenticated(headers, self.challenge)
        sent = {name: headers[name] for name in _SENT_ON if name in headers}
        answer = self._inner.ask("GET", _WHO, sent | {"accept": "application/json"})
        if answer.status >= 500:
            raise TemporarilyUnavailableError(
                "The credentials cannot be checked now; the server's log has the reason.", retry_after_s=2
            )
        try:
            return User(str(json.loads(answer.body)["username"]))
        except (ValueError, KeyError, TypeError):
            # A redirect to the app's login page, or a refusal of any kind.
            raise unauthenticated(headers, self.challenge) from None

    def _user(self, name: str) -> Any:
        from mlflow_oidc_auth.store import store

        return store.get_user_profile(name)

    def _granted(self, user: str, workspace: str, name: str) -> Permission:
        # In a context of its own, because the app's functions are given the caller in a context variable.
        return contextvars.copy_context().run(_granted, user, workspace, name)


def tell_of_deleted_users(tell: Callable[[str], None]) -> None:
    """Call ``tell`` with the name of each user that this web worker deletes."""
    from mlflow_oidc_auth.store import store

    users = store.user_repo
    inner = users.delete

    @functools.wraps(inner)
    def delete(username: str, *args: Any, **kwargs: Any) -> Any:
        result = inner(username, *args, **kwargs)
        tell(username)
        return result

    users.delete = delete


def _granted(user: str, workspace: str, name: str) -> Permission:
    """The permission by the app's functions, with user and workspace set as in one of the app's own requests.

    Without these two the functions ignore permissions on the workspace as a whole.
    """
    from mlflow_oidc_auth.bridge.user import set_auth_context
    from mlflow_oidc_auth.entities.auth_context import AuthContext
    from mlflow_oidc_auth.utils import permissions

    set_auth_context(AuthContext(username=user, is_admin=False, workspace=workspace))
    if permissions.can_manage_registered_model(name, user):
        return Permission.MANAGE
    return Permission.READ if permissions.can_read_registered_model(name, user) else Permission.NONE
