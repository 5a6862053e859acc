"""An unknown auth app: permissions are found by MLflow requests with the caller's credentials.

A caller who gets the registered model has READ. A caller who may delete an alias has MANAGE: in the rules of MLflow and
of mlflow-oidc-auth that needs more than EDIT. The request to delete names an invalid alias, so it changes nothing: the
auth app refuses the request, or MLflow answers that the alias is invalid.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import everything, everything_but_noise, unauthenticated
from mlflow_serving_plugin.access.subrequest import InnerApp
from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.domain.workspace import WORKSPACE_HEADER

_MODELS = "/api/2.0/mlflow/registered-models"
_NO_ALIAS = "no alias, just asking"


class OtherApp:
    """``inner`` is the app; ``prefix``: ``--static-prefix``."""

    challenge = 'Basic realm="mlflow"'

    def __init__(self, inner: InnerApp, prefix: str) -> None:
        self._inner = inner
        self._base = prefix + _MODELS
        self._who = f"{prefix}/api/2.0/mlflow/users/current"

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """All headers that may identify the caller."""
        return everything(headers)

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller, if the app lets the caller search for models; named if the app has basic-auth's user API."""
        sent = everything_but_noise(headers)
        answer = self._inner.ask("GET", f"{self._base}/search?max_results=1", sent)
        # 404: a server without a registry, or a wrong prefix. Such a caller counts as unauthenticated.
        if answer.status not in {200, 403}:
            raise unauthenticated(headers, self.challenge)
        return User(self._name(sent), credentials=tuple(sorted(sent.items())))

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """The permission, by requests in the caller's name."""
        headers = dict(user.credentials)
        if workspace != DEFAULT_WORKSPACE:
            headers[WORKSPACE_HEADER] = workspace
        if self._inner.ask("GET", f"{self._base}/get?name={quote(name, safe='')}", headers).status != 200:
            return Permission.NONE
        body = json.dumps({"name": name, "alias": _NO_ALIAS}).encode()
        tried = self._inner.ask("DELETE", f"{self._base}/alias", headers, body)
        return Permission.MANAGE if tried.status == 400 else Permission.READ

    def is_admin(self, user: User) -> bool:
        """Always False: an unknown app cannot be asked."""
        return False

    def account(self, name: str) -> str | None:
        """None: an unknown app has no accounts to bind tokens to."""
        return None

    def _name(self, headers: Mapping[str, str]) -> str | None:
        answer = self._inner.ask("GET", self._who, headers)
        try:
            found = json.loads(answer.body) if answer.status == 200 else {}
            user = found.get("user", found)
            return str(user["username"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
