"""The Databricks Token API: a user's own tokens; an admin sees and revokes everybody's."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from flask import Blueprint

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, change_fields, current_workspace, read_fields
from mlflow_serving_plugin.domain.token import Token

PATHS = ("/api/2.0/token", "/ajax-api/2.0/token")


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """Each base path with its routes."""
    for path in PATHS:
        blueprint = Blueprint("tokens", __name__)
        blueprint.add_url_rule("/create", "create", partial(create, deps), methods=["POST"])
        blueprint.add_url_rule("/list", "list", partial(list_all, deps))
        blueprint.add_url_rule("/delete", "delete", partial(delete, deps), methods=["POST"])
        yield path, blueprint


def create(deps: ApiDeps) -> dict[str, Any]:
    """Create a token for the caller; the value of the token is in this reply only."""
    fields = change_fields(requests.CREATE_TOKEN)
    value, token = deps.tokens.add(
        caller_of(deps.access),
        current_workspace(),
        comment=fields.get("comment", ""),
        lifetime_s=fields.get("lifetime_seconds"),
        model=fields.get("scope", {}).get("registered_model_name"),
    )
    return {"token_value": value, "token_info": _shape(token)}


def list_all(deps: ApiDeps) -> dict[str, Any]:
    """The caller's tokens; for an admin, everybody's."""
    read_fields(requests.NOTHING)
    return {"token_infos": [_shape(token) for token in deps.tokens.find_all(caller_of(deps.access))]}


def delete(deps: ApiDeps) -> dict[str, Any]:
    """Revoke a token."""
    fields = change_fields(requests.DELETE_TOKEN)
    deps.tokens.revoke(caller_of(deps.access), fields["token_id"])
    return {}


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
