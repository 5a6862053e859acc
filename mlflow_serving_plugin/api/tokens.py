"""The Databricks Token API: a user's own tokens; an admin sees and revokes everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, change_fields, current_workspace, read_fields
from mlflow_serving_plugin.domain.token import Token

PATHS = ("/api/2.0/token", "/ajax-api/2.0/token")


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with its routes."""
    views = TokenViews(deps)
    for path in PATHS:
        blueprint = Blueprint("tokens", __name__)
        blueprint.add_url_rule("/create", view_func=views.create, methods=["POST"])
        blueprint.add_url_rule("/list", endpoint="list", view_func=views.list_all)
        blueprint.add_url_rule("/delete", view_func=views.delete, methods=["POST"])
        yield path, blueprint


class TokenViews:
    """The views."""

    def __init__(self, deps: ApiDeps) -> None:
        self._access = deps.access
        self._tokens = deps.tokens

    def create(self) -> dict[str, Any]:
        """Create a token for the caller; the value of the token is in this reply only."""
        fields = change_fields(request, requests.CREATE_TOKEN, form_allowed=False)
        value, token = self._tokens.add(
            self._caller(),
            current_workspace(),
            comment=fields.get("comment", ""),
            lifetime_s=fields.get("lifetime_seconds"),
            model=fields.get("scope", {}).get("registered_model_name"),
        )
        return {"token_value": value, "token_info": _shape(token)}

    def list_all(self) -> dict[str, Any]:
        """The caller's tokens; for an admin, everybody's."""
        read_fields(request, requests.NOTHING)
        return {"token_infos": [_shape(token) for token in self._tokens.find_all(self._caller())]}

    def delete(self) -> dict[str, Any]:
        """Revoke a token."""
        fields = change_fields(request, requests.DELETE_TOKEN, form_allowed=False)
        self._tokens.revoke(self._caller(), fields["token_id"])
        return {}

    def _caller(self) -> User:
        return caller_of(self._access)


def _shape(token: Token) -> dict[str, Any]:
    """As in Databricks' API, and three more fields. ``expiry_time`` -1: never."""
    scope = {"registered_model_name": token.scope.name, "permission": "READ"} if token.scope else None
    return {
        "token_id": token.id,
        "comment": token.comment,
        "creation_time": token.created_ms,
        "expiry_time": token.expiry_ms,
        "created_by_username": token.owner,
        "last_used_time": token.last_used_ms,
        "scope": scope,
    }
