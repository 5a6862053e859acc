"""The server as a whole, below ``/serving/``: health for everybody; metrics, audit and diagnosis for admins."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, request

from mlflow_serving_plugin.access.base import require_admin
from mlflow_serving_plugin.api import requests, shapes
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, page_of, read_fields
from mlflow_serving_plugin.backends.isolation import levels
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.metrics.exposition import expose
from mlflow_serving_plugin.metrics.files import read_totals

HEALTH_PATH, AUDIT_PATH, METRICS_PATH, DIAGNOSIS_PATH = PATHS = (
    "/serving/health",
    "/serving/audit",
    "/serving/metrics",
    "/serving/diagnosis",
)

_SHORTEST_LEASE_S = 10.0
_LEASE_TICKS = 10


def blueprints(deps: ApiDeps) -> Iterator[tuple[str, Blueprint]]:
    """The routes, with no base path in common."""
    blueprint = Blueprint("server", __name__)
    views: dict[str, Callable[..., Any]] = {
        HEALTH_PATH: health,
        AUDIT_PATH: audit,
        METRICS_PATH: metrics,
        DIAGNOSIS_PATH: diagnosis,
    }
    for path, view in views.items():
        blueprint.add_url_rule(path, view.__name__, partial(view, deps))
    yield "", blueprint


def health(deps: ApiDeps) -> tuple[dict[str, Any], int]:
    """200 while this host's controller ticks, else 503. Names no model, so callers need no credentials."""
    longest_s = max(_SHORTEST_LEASE_S, _LEASE_TICKS * deps.settings.tick_interval_s)
    age_s = _age_s(deps.paths.lease)
    alive = age_s is not None and age_s <= longest_s
    routes = deps.snapshot.current()
    endpoints, versions = routes.endpoints.values(), routes.entities.values()
    body = {
        "status": "ok" if alive else "unavailable",
        "controller": {"alive": alive, "last_tick_age_s": age_s},
        "endpoints": Counter(endpoint.state.value for endpoint in endpoints),
        "versions": Counter(version.state.value for version in versions),
        "sandbox": str(levels()),
        "workers": sum((version.worker_states for version in versions), Counter()),
    }
    return body, 200 if alive else 503


def audit(deps: ApiDeps) -> dict[str, Any]:
    """A page of events, newest first: as ``get-event-history`` has them, with the model's name and workspace."""
    page = page_of(read_fields(requests.AUDIT))
    return shapes.event_page(deps.tokens.audit(caller_of(deps.access), **page), _audited)


def metrics(deps: ApiDeps) -> Response:
    """What all processes of this host have counted, in the format that the caller accepts."""
    require_admin(deps.access, caller_of(deps.access), "the metrics")
    deps.metrics.flush()
    totals, accept = read_totals(deps.paths.metrics), request.headers.get("Accept", "")
    page, content_type = expose(totals, deps.snapshot.current(), workspaces=deps.workspaces, accept=accept)
    return Response(page, content_type=content_type)


def diagnosis(deps: ApiDeps) -> dict[str, Any]:
    """What is wrong with this server, and how this request arrived: what a proxy in front of the server made of it."""
    require_admin(deps.access, caller_of(deps.access), "the diagnosis")
    arrived = {
        "host": request.host,
        "scheme": request.scheme,
        "x_forwarded_proto": request.headers.get("X-Forwarded-Proto"),
        "x_forwarded_for": request.headers.get("X-Forwarded-For"),
        "max_body_bytes": deps.settings.max_body_bytes,
    }
    return {"checks": [finding._asdict() for finding in deps.diagnose()], "arrived": arrived}


def _age_s(lease: Path) -> float | None:
    """Seconds since the controller's last tick, None when there was none."""
    try:
        return round(max(0.0, time.time() - lease.stat().st_mtime), 3)
    except OSError:
        return None


def _audited(event: Event) -> dict[str, Any]:
    return shapes.event(event) | {"registered_model_name": event.name or None, "workspace": event.workspace or None}
