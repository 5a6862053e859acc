"""The server as a whole, below ``/serving/``: health for everybody; metrics and audit for admins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from flask import Blueprint, Response, request

from mlflow_serving_plugin.access.base import require_admin
from mlflow_serving_plugin.api import requests, shapes
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, read_fields
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.metrics.exposition import expose
from mlflow_serving_plugin.metrics.files import read_totals

HEALTH_PATH, AUDIT_PATH, METRICS_PATH = PATHS = ("/serving/health", "/serving/audit", "/serving/metrics")

_SHORTEST_LEASE_S = 10.0
_LEASE_TICKS = 10
_EVENTS_IN_A_PAGE = 100


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """The routes, with no base path in common."""
    views, blueprint = ServerViews(deps), Blueprint("server", __name__)
    blueprint.add_url_rule(HEALTH_PATH, view_func=views.health)
    blueprint.add_url_rule(AUDIT_PATH, view_func=views.audit)
    blueprint.add_url_rule(METRICS_PATH, view_func=views.metrics)
    yield "", blueprint


class ServerViews:
    """The views."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def health(self) -> tuple[dict[str, Any], int]:
        """200 while this host's controller ticks, else 503. Names no model, so callers need no credentials."""
        longest_s = max(_SHORTEST_LEASE_S, _LEASE_TICKS * self._deps.settings.tick_interval_s)
        age_s = self._lease_age_s()
        alive = age_s is not None and age_s <= longest_s
        routes = self._deps.snapshot.current()
        endpoints, versions = routes.endpoints.values(), routes.entities.values()
        body = {
            "status": "ok" if alive else "unavailable",
            "controller": {"alive": alive, "last_tick_age_s": age_s},
            "endpoints": Counter(endpoint.state.value for endpoint in endpoints),
            "versions": Counter(version.state.value for version in versions),
            "workers": sum((version.worker_states for version in versions), Counter()),
        }
        return body, 200 if alive else 503

    def audit(self) -> dict[str, Any]:
        """A page of events, newest first: as ``get-event-history`` has them, with the model's name and workspace."""
        fields = read_fields(request, requests.AUDIT)
        events, next_page = self._deps.tokens.audit(
            caller_of(self._deps.access),
            page_token=fields.get("page_token") or None,
            limit=fields.get("max_results", _EVENTS_IN_A_PAGE),
        )
        return {"events": [_audited(event) for event in events]} | ({"next_page_token": next_page} if next_page else {})

    def metrics(self) -> Response:
        """What all processes of this host have counted, in the format that the caller accepts."""
        deps = self._deps
        require_admin(deps.access, caller_of(deps.access), "the metrics")
        deps.metrics.flush()
        totals, accept = read_totals(deps.paths.metrics), request.headers.get("Accept", "")
        page, content_type = expose(totals, deps.snapshot.current(), workspaces=deps.workspaces, accept=accept)
        return Response(page, content_type=content_type)

    def _lease_age_s(self) -> float | None:
        try:
            touched = self._deps.paths.lease.stat().st_mtime
        except OSError:
            return None
        return round(max(0.0, time.time() - touched), 3)


def _audited(event: Event) -> dict[str, Any]:
    return shapes.event(event) | {"registered_model_name": event.name or None, "workspace": event.workspace or None}
