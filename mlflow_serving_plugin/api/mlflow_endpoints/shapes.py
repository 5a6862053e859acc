"""The old product's reply shapes: ``endpoints`` and ``endpoints-v2``. Pure."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from mlflow_serving_plugin.domain.placement import placement
from mlflow_serving_plugin.domain.routes import EntityRoute, WorkerRoute
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.metrics.figures import Figures
from mlflow_serving_plugin.metrics.history import Lately
from mlflow_serving_plugin.operations.endpoints import Served

_NONE = Figures()
ByVersion = Mapping[tuple[str, str], Figures]
"""What this host has counted, by endpoint id and version."""


def endpoint_status(served: Served, figures: ByVersion) -> dict[str, Any]:
    """One endpoint, in both families.

    ``state`` is in the old product's words; ``serving_state`` is what the endpoint's versions amount to. ``label``,
    ``tone`` and ``settled``: how pages and commands show a state, and whether they wait on, so that clients need no
    list of the states. ``reason``: the version that the state comes from, since when, and when it is tried again, in
    milliseconds since 1970. ``memory_bytes`` and ``last_request``: of all versions on this host.
    """
    of_versions = [figures.get((served.endpoint.id, version.name), _NONE) for version in served.versions]
    state, found, route = served.state, served.reason, served.route
    reason = found and {"endpoint_version_name": found.name, "since": found.since_ms, "retry_at": found.retry_ms}
    return {
        "registered_model_name": served.endpoint.name,
        "state": state.facts.endpoint_state,
        "state_message": served.message,
        "serving_state": state.value,
        "label": state.facts.label,
        "tone": state.facts.tone,
        "settled": served.observed and state.facts.settled,
        "latest": route.latest if route else None,
        "latest_message": route.latest_message if route else "",
        "reason": reason,
        "memory_bytes": sum(one.memory_bytes for one in of_versions),
        "last_request": max((one.last_request for one in of_versions if one.last_request), default=None),
    }


def endpoint_version(version: EntityRoute, served: Served, figures: ByVersion) -> dict[str, Any]:
    """One version in ``endpoints``."""
    counted = figures.get((served.endpoint.id, version.name), _NONE)
    return {
        "endpoint_version_name": version.name,
        "state": version.state.facts.version_state,
        "state_message": version.explanation,
        "placement": placement(version.workers),
        "libraries": _libraries(version),
        "retry_at": version.retry_ms,
        "memory_bytes": counted.memory_bytes,
        "last_request": counted.last_request,
    } | _for_people(version, served)


def _for_people(version: EntityRoute, served: Served) -> dict[str, Any]:
    facts = EndpointState.DEGRADED.facts if version.degraded else version.state.facts
    return {
        "label": facts.label,
        "tone": facts.tone,
        "settled": served.observed and version.settled,
        "asleep": version.state is EntityState.ASLEEP,
    }


def endpoint_version_v2(version: EntityRoute) -> dict[str, Any]:
    """One version in ``endpoints-v2``."""
    return {
        "endpoint_version_name": version.name,
        "service_status": {"state": version.state.facts.service_state, "message": version.explanation},
    }


def _libraries(version: EntityRoute) -> list[dict[str, Any]]:
    """Python, MLflow and the flavor's library: the version that the model was logged with and the running one."""
    return [
        {"name": found.name, "logged": found.logged, "running": found.running, "differs": found.differs}
        for found in version.libraries
    ]


def aliases(served: Served) -> list[dict[str, str]]:
    """Stages, then registry aliases, each with the version that answers for it."""
    if served.route is None:
        return []
    names = list(served.route.named_stages().items()) + sorted(served.route.aliases.items())
    return [{"alias": alias, "endpoint_version_name": name} for alias, name in names]


def replica(worker: WorkerRoute, memory_bytes: int | None) -> dict[str, Any]:
    """One worker. ``started_at``: milliseconds since 1970; ``memory_bytes`` is null when the worker has just ended, or
    runs on another node. ``node``: Ray's id of the node, or this host's name.
    """
    return {
        "replica_id": worker.worker_id,
        "state": "SERVICE_STATE_READY" if worker.ready else "SERVICE_STATE_PENDING",
        "node": worker.node or socket.gethostname(),
        "pid": worker.pid,
        "started_at": worker.started_ms,
        "memory_bytes": memory_bytes,
    }


def overview(
    served: Served,
    sample_source: Callable[[str, int | None], str | None],
    figures: ByVersion,
    lately: Callable[[list[tuple[str, str]]], Lately],
) -> dict[str, Any]:
    """All that a page shows of an endpoint. ``since`` and ``message``: what is going on, in milliseconds since 1970.

    ``figures``, of the endpoint and of each version: what it did within the last hour on this host.
    """
    route = served.route
    keys = [(served.endpoint.id, version.name) for version in served.versions]
    return endpoint_status(served, figures) | {
        "figures": asdict(lately(keys)),
        "versions": [
            _overview_of_version(version, served, sample_source)
            | asdict(figures.get(key, _NONE))
            | {"figures": asdict(lately([key]))}
            for key, version in zip(keys, served.versions, strict=True)
        ],
        "stages": route.named_stages() if route else {},
        "aliases": route.aliases if route else {},
        "inactive": route.inactive if route else {},
    }


def _overview_of_version(
    version: EntityRoute, served: Served, sample_source: Callable[[str, int | None], str | None]
) -> dict[str, Any]:
    aliases = served.route.aliases if served.route else {}
    return {
        "version": version.model.version,
        "state": version.state.value,
        "message": version.explanation,
        "note": version.note,
        "environment": version.environment,
        "placement": placement(version.workers),
        "libraries": _libraries(version),
        "since": version.since_ms,
        "stage": version.stage,
        "aliases": sorted(alias for alias, name in aliases.items() if name == version.name),
        "replicas": version.replicas,
        "ready_replicas": len(version.ready_workers),
        "retry_at": version.retry_ms,
        "sample": sample_source(version.model_dir, version.example_form) if version.model_dir else None,
        "fetched": version.model_dir is not None,
        "build_log": version.build_log is not None,
    } | _for_people(version, served)
