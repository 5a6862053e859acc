"""``GET /serving/health``: whether this host's controller is alive, and how many of what it looks after."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from flask import Blueprint

from mlflow_serving_plugin.api.bases import HEALTH_PATH
from mlflow_serving_plugin.api.deps import ApiDeps

_SHORTEST_LEASE_S = 10.0
_LEASE_TICKS = 10


class HealthView:
    """The view. It names no model, so it asks nobody who they are."""

    def __init__(self, deps: ApiDeps) -> None:
        self._deps = deps

    def blueprint(self) -> Blueprint:
        """The route."""
        blueprint = Blueprint("health", __name__)
        blueprint.add_url_rule(HEALTH_PATH, view_func=self.health)
        return blueprint

    def health(self) -> tuple[dict[str, Any], int]:
        """200 while the controller ticks, else 503."""
        longest_s = max(_SHORTEST_LEASE_S, _LEASE_TICKS * self._deps.settings.tick_interval_s)
        age_s = self._lease_age_s()
        alive = age_s is not None and age_s <= longest_s
        endpoints = self._deps.snapshot.current().endpoints.values()
        versions = [version for endpoint in endpoints for version in endpoint.versions.values()]
        body = {
            "status": "ok" if alive else "unavailable",
            "controller": {"alive": alive, "last_tick_age_s": age_s},
            "endpoints": Counter(endpoint.state.value for endpoint in endpoints),
            "versions": Counter(version.state.value for version in versions),
            "workers": Counter("ready" if worker.ready else "starting" for v in versions for worker in v.workers),
        }
        return body, 200 if alive else 503

    def _lease_age_s(self) -> float | None:
        try:
            touched = self._deps.paths.lease.stat().st_mtime
        except OSError:
            return None
        return round(max(0.0, time.time() - touched), 3)
