"""``GET /serving/audit``: what people changed, and who; for admins."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.api import schemas, shapes
from mlflow_serving_plugin.api.bases import AUDIT_PATH
from mlflow_serving_plugin.api.context import caller_of
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.fields import read_fields
from mlflow_serving_plugin.errors import PermissionDeniedError

_EVENTS_IN_A_PAGE = 100


class AuditView:
    """The view."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def blueprint(self) -> Blueprint:
        """The route."""
        blueprint = Blueprint("audit", __name__)
        blueprint.add_url_rule(AUDIT_PATH, view_func=self.audit)
        return blueprint

    def audit(self) -> dict[str, Any]:
        """A page of events, newest first: as ``get-event-history`` has them, with the model's name and workspace."""
        fields = schemas.check_fields(schemas.AUDIT, read_fields(request))
        if not self._deps.access.is_admin(caller_of(self._deps)):
            raise PermissionDeniedError("Only an admin may see the audit.")
        events, next_page = self._deps.tokens.audit(
            page_token=fields.get("page_token") or None, limit=fields.get("max_results", _EVENTS_IN_A_PAGE)
        )
        shown = [
            shapes.event(event) | {"registered_model_name": event.name or None, "workspace": event.workspace or None}
            for event in events
        ]
        return {"events": shown} | ({"next_page_token": next_page} if next_page else {})
