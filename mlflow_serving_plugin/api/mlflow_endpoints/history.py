"""What happened: events, and the logs of versions."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.api import requests, shapes
from mlflow_serving_plugin.api.logs import LogPiece, read_log
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, page_of, read_fields
from mlflow_serving_plugin.errors import NotFoundError


def get_version_logs(context: Context) -> dict[str, Any]:
    """The output of the version's workers from byte ``offset`` on; without ``offset``, the end."""
    fields = read_fields(requests.LOGS)
    served, version = context.version(fields)
    replica = fields.get("replica_id")
    # The workers of a version share its log.
    if replica and replica not in {worker.worker_id for worker in version.workers}:
        raise NotFoundError(f"Version {version.name} has no such replica.")
    path = context.deps.paths.entity_log(served.endpoint.id, version.name)
    return asdict(read_log(path, fields.get("offset")))


def get_version_build_logs(context: Context) -> dict[str, Any]:
    """The build log of the version's environment from byte ``offset`` on; without ``offset``, the end."""
    fields = read_fields(requests.LOGS)
    _, version = context.version(fields)
    if version.build_log is None:
        none_built = f"No environment was built: the version runs in {version.environment}.\n"
        return asdict(LogPiece(none_built if version.environment else ""))
    return asdict(read_log(Path(version.build_log), fields.get("offset")))


def get_event_history(context: Context) -> dict[str, Any]:
    """A page of events, newest first."""
    fields = read_fields(requests.EVENTS)
    name, version = fields["registered_model_name"], fields.get("endpoint_version_name")
    caller, workspace = context.caller(), current_workspace()
    page = context.endpoints.events(caller, workspace, name, version=version, **page_of(fields))
    return shapes.event_page(page, shapes.event)
