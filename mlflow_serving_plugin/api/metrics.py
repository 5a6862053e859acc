"""``GET /serving/metrics``: what all processes of this host have counted, for Prometheus; for admins only."""

from __future__ import annotations

from flask import Blueprint, Response, request

from mlflow_serving_plugin.api.bases import METRICS_PATH
from mlflow_serving_plugin.api.context import caller_of
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.errors import PermissionDeniedError
from mlflow_serving_plugin.metrics.exposition import expose
from mlflow_serving_plugin.metrics.files import read_totals


class MetricsView:
    """The view."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def blueprint(self) -> Blueprint:
        """The route."""
        blueprint = Blueprint("metrics", __name__)
        blueprint.add_url_rule(METRICS_PATH, view_func=self.metrics)
        return blueprint

    def metrics(self) -> Response:
        """The metrics in the format that the caller accepts."""
        deps = self._deps
        if not deps.access.is_admin(caller_of(deps)):
            raise PermissionDeniedError("Only an admin may see the metrics.")
        deps.metrics.flush()
        totals, accept = read_totals(deps.paths.metrics), request.headers.get("Accept", "")
        page, content_type = expose(totals, deps.snapshot.current(), workspaces=deps.workspaces, accept=accept)
        return Response(page, content_type=content_type)
