"""The Databricks Token API: a user's own tokens; an admin sees and revokes everybody's."""

from __future__ import annotations

import time
import uuid
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.access.base import Permission, User, require
from mlflow_serving_plugin.access.tokens import digest_of, new_token
from mlflow_serving_plugin.api import schemas
from mlflow_serving_plugin.api.context import caller_of, current_workspace
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.fields import change_fields, read_fields
from mlflow_serving_plugin.domain.token import NEVER, Scope, Token
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, PermissionDeniedError


class TokenViews:
    """The views of one base path."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def blueprint(self) -> Blueprint:
        """The routes, without the base path."""
        blueprint = Blueprint("tokens", __name__)
        blueprint.add_url_rule("/create", view_func=self.create, methods=["POST"])
        blueprint.add_url_rule("/list", endpoint="list", view_func=self.list_all)
        blueprint.add_url_rule("/delete", view_func=self.delete, methods=["POST"])
        return blueprint

    def create(self) -> dict[str, Any]:
        """Make a token for the caller; its value is in this reply and in no other."""
        fields = schemas.check_fields(schemas.CREATE_TOKEN, change_fields(request, form_allowed=False))
        owner, account = self._owner()
        value, now_ms = new_token(), int(time.time() * 1000)
        lifetime_s = fields.get("lifetime_seconds")
        token = Token(
            id=uuid.uuid4().hex,
            owner=str(owner.name),
            account=account,
            comment=fields.get("comment", ""),
            created_ms=now_ms,
            expiry_ms=NEVER if lifetime_s is None else now_ms + lifetime_s * 1000,
            scope=self._scope(owner, fields.get("scope")),
        )
        self._deps.tokens.add_token(token, digest_of(value))
        return {"token_value": value, "token_info": _shape(token)}

    def list_all(self) -> dict[str, Any]:
        """The caller's tokens; an admin gets everybody's."""
        schemas.check_fields(schemas.NOTHING, read_fields(request))
        owner, _ = self._owner()
        whose = None if self._deps.access.is_admin(owner) else owner.name
        return {"token_infos": [_shape(token) for token in self._deps.tokens.tokens(whose)]}

    def delete(self) -> dict[str, Any]:
        """Revoke a token."""
        fields = schemas.check_fields(schemas.DELETE_TOKEN, change_fields(request, form_allowed=False))
        owner, _ = self._owner()
        whose = None if self._deps.access.is_admin(owner) else owner.name
        if not self._deps.tokens.remove_token(fields["token_id"], owner=whose, by=owner.name):
            raise NotFoundError("You have no token with this token_id.")
        return {}

    def _owner(self) -> tuple[User, str]:
        """The caller and the account that tokens are bound to."""
        user = caller_of(self._deps)
        if user.scope is not None:
            raise PermissionDeniedError("A token for one model may not see or change tokens.")
        account = self._deps.access.account(user)
        if account is None:
            raise InvalidParameterError("This server has no users that tokens could belong to. See README, Access.")
        return user, account

    def _scope(self, owner: User, wanted: dict[str, Any] | None) -> Scope | None:
        if wanted is None:
            return None
        require(self._deps.access, owner, current_workspace(), wanted["registered_model_name"], Permission.READ)
        return Scope(current_workspace(), wanted["registered_model_name"])


def _shape(token: Token) -> dict[str, Any]:
    """As in Databricks' API, and three fields more. ``expiry_time`` -1: never."""
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
