"""What happened: events, and the logs of versions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.api import schemas, shapes
from mlflow_serving_plugin.api.context import Context
from mlflow_serving_plugin.api.fields import read_fields
from mlflow_serving_plugin.api.logfile import LONGEST_READ_BYTES, read_log
from mlflow_serving_plugin.errors import NotFoundError

_EVENTS_IN_A_PAGE = 100


class HistoryViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def blueprint(self) -> Blueprint:
        """The routes, without the base path."""
        blueprint = Blueprint("history", __name__)
        for path, view in (
            ("/get-version-logs", self.get_version_logs),
            ("/get-version-build-logs", self.get_version_build_logs),
        ):
            blueprint.add_url_rule(path, view_func=view, methods=["GET", "POST"])
        blueprint.add_url_rule("/get-event-history", view_func=self.get_event_history)
        return blueprint

    def get_version_logs(self) -> dict[str, Any]:
        """What the version's workers printed, from byte ``offset`` on; without it, the end."""
        fields = schemas.check_fields(schemas.LOGS, read_fields(request))
        served = self._context.served(fields)
        version = served.version(fields["endpoint_version_name"])
        replica = fields.get("replica_id")
        # The workers of a version share its log.
        if replica and replica not in {worker.worker_id for worker in version.workers}:
            raise NotFoundError(f"Version {version.number} has no such replica.")
        path = self._context.deps.paths.version_log(served.endpoint.id, version.number)
        logs, next_offset = read_log(path, fields.get("offset"))
        return {"logs": logs, "next_offset": next_offset}

    def get_version_build_logs(self) -> dict[str, Any]:
        """How the version's environment was built, from byte ``offset`` on; without it, the end."""
        fields = schemas.check_fields(schemas.LOGS, read_fields(request))
        version = self._context.served(fields).version(fields["endpoint_version_name"])
        if version.build_log is None:
            built = f"No environment was built: it runs in {version.environment}.\n" if version.environment else ""
            return {"logs": built, "next_offset": 0}
        logs, next_offset = read_log(Path(version.build_log), fields.get("offset"), tail_bytes=LONGEST_READ_BYTES)
        return {"logs": logs, "next_offset": next_offset}

    def get_event_history(self) -> dict[str, Any]:
        """A page of events, newest first."""
        fields = schemas.check_fields(schemas.EVENTS, read_fields(request))
        endpoint = self._context.served(fields).endpoint
        events, next_page = self._context.deps.store.events(
            endpoint.workspace,
            endpoint.name,
            version=fields.get("endpoint_version_name"),
            page_token=fields.get("page_token") or None,
            limit=fields.get("max_results", _EVENTS_IN_A_PAGE),
        )
        reply: dict[str, Any] = {"events": [shapes.event(found) for found in events]}
        return reply | ({"next_page_token": next_page} if next_page else {})
