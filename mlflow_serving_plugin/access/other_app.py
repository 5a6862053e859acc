"""An auth app of which nothing is known: it is asked with requests of MLflow's own, in the caller's name.

Who may read a registered model gets it; who may manage one may take an alias from it, which in MLflow's and
mlflow-oidc-auth's own rules is more than to edit it. The second is tried with what can be no alias: an auth app refuses
whoever may not, and whoever may learns from MLflow that the alias is wrong. Nothing is changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import quote

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.provider import everything_but_noise, picked, unauthenticated
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
        """Whatever the app may go by."""
        rest = everything_but_noise(headers)
        return picked(rest, *sorted(rest)) + "\x00".join(sorted(rest)).encode()

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller, if the app lets them search for models. Named where the app tells names as basic-auth does."""
        sent = everything_but_noise(headers)
        answer = self._inner.ask("GET", f"{self._base}/search?max_results=1", sent)
        # 404: a server without a registry, or a wrong prefix; nobody is let in by mistake.
        if answer.status not in {200, 403}:
            raise unauthenticated(headers, self.challenge)
        return User(self._name(sent), credentials=tuple(sorted(sent.items())))

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """By what the app lets the caller do with the registered model."""
        headers = dict(user.credentials)
        if workspace != DEFAULT_WORKSPACE:
            headers[WORKSPACE_HEADER] = workspace
        if self._inner.ask("GET", f"{self._base}/get?name={quote(name, safe='')}", headers).status != 200:
            return Permission.NONE
        body = json.dumps({"name": name, "alias": _NO_ALIAS}).encode()
        tried = self._inner.ask("DELETE", f"{self._base}/alias", headers, body)
        return Permission.MANAGE if tried.status == 400 else Permission.READ

    def is_admin(self, user: User) -> bool:
        """Nobody that could be told."""
        return False

    def account(self, name: str) -> str | None:
        """None that tokens could be bound to."""
        return None

    def _name(self, headers: Mapping[str, str]) -> str | None:
        answer = self._inner.ask("GET", self._who, headers)
        try:
            found = json.loads(answer.body) if answer.status == 200 else {}
            user = found.get("user", found)
            return str(user["username"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return None
