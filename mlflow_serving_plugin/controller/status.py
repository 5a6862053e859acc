"""From what should run and what does, to what the gateway and the API are told: the routes, and the events. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity, View
from mlflow_serving_plugin.controller.plan import Observed
from mlflow_serving_plugin.domain.config import GatewayConfig, part_of, resolve
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.events import Event, storable
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, WorkerRoute, routes_key
from mlflow_serving_plugin.domain.states import EndpointState, EntityState
from mlflow_serving_plugin.environments.need import Need

_TELLING = {EntityState.FAILED: "VERSION_FAILED", EntityState.READY: "VERSION_DEGRADED"}
"""States whose message is worth an event when it changes."""


def describe(
    view: View,
    desired: Mapping[EntityKey, DesiredEntity],
    observed: Observed,
    before: Routes,
    *,
    now_ms: int,
    default_timeout_s: float,
    build_log: Callable[[str], Path | None] = lambda _: None,
) -> Routes:
    """The routes now. ``since_ms`` of a version whose state is as before stays as it was.

    ``build_log``: where the log of an environment's build is.
    """
    workers: dict[EntityKey, list[WorkerStatus]] = {}
    for worker in observed.workers:
        if worker.worker_id not in observed.stopping:
            workers.setdefault(worker.key, []).append(worker)
    versions: dict[str, dict[int, EntityRoute]] = {}
    old = {EntityKey(e.id, n): v for e in before.endpoints.values() for n, v in e.versions.items()}
    for key, wanted in desired.items():
        route = _version(wanted, workers.get(key, []), observed, old.get(key), now_ms, build_log)
        versions.setdefault(key.endpoint_id, {})[key.number] = route
    endpoints = {
        routes_key(endpoint.workspace, endpoint.name): _endpoint(
            endpoint, view, versions.get(endpoint.id, {}), default_timeout_s
        )
        for endpoint in view.endpoints.values()
    }
    return Routes(written_ms=now_ms, endpoints=endpoints)


def _version(
    wanted: DesiredEntity,
    workers: list[WorkerStatus],
    observed: Observed,
    before: EntityRoute | None,
    now_ms: int,
    build_log: Callable[[str], Path | None],
) -> EntityRoute:
    state, message = _state(wanted, workers, observed)
    same = before is not None and before.state is state
    need = observed.needs.get(wanted.key)
    log = build_log(need.recipe.key) if need else None
    return EntityRoute(
        number=wanted.version.number,
        state=state,
        message=storable(message),
        stage=wanted.version.stage,
        since_ms=before.since_ms if same and before is not None else now_ms,
        model_dir=str(need.recipe.model_dir) if need else None,
        note=storable(next((w.note for w in workers if w.note), "")),
        environment=_environment(need),
        build_log=str(log) if log else None,
        scored_example=any(w.scored_example for w in workers if w.phase is WorkerPhase.READY),
        workers=tuple(
            WorkerRoute(w.worker_id, w.protocol, w.address, w.pid, w.started_ms, w.phase is WorkerPhase.READY)
            for w in workers
            if w.phase is not WorkerPhase.DEAD
        ),
    )


def _state(wanted: DesiredEntity, workers: Iterable[WorkerStatus], observed: Observed) -> tuple[EntityState, str]:
    failure = observed.failures.get(wanted.key)
    ready = [worker for worker in workers if worker.phase is WorkerPhase.READY]
    if ready:
        fresh = sum(worker.fingerprint == wanted.fingerprint for worker in ready)
        if failure is None or fresh >= wanted.replicas:
            return EntityState.READY, ""
        have = f"{fresh} of {wanted.replicas} workers" if fresh else "workers of the configuration before"
        return EntityState.READY, f"Serving with {have}; a new one did not start: {failure.message}"
    if failure is not None and failure.final:
        return EntityState.FAILED, failure.message
    restarting = f"Restarting: {failure.message}" if failure is not None else ""
    if observed.launching.get(wanted.key):
        return EntityState.LAUNCHING, restarting or "Loading the model."
    return _before_launch(wanted, observed, restarting)


def _before_launch(wanted: DesiredEntity, observed: Observed, restarting: str) -> tuple[EntityState, str]:
    need = observed.needs.get(wanted.key)
    if need is not None and need.environment is None:
        return EntityState.BUILDING, _building(need, observed)
    if wanted.key in observed.fetching:
        return EntityState.PENDING, "Fetching the model's files."
    return EntityState.PENDING, restarting or "Waiting for its turn to start."


def _building(need: Need, observed: Observed) -> str:
    doing = observed.building.get(need.recipe.key)
    if doing is None:
        return "Waiting for its turn to have its environment built."
    return f"Building its environment ({need.recipe}; {need.recipe.why})" + (f": {doing}" if doing else ".")


def _environment(need: Need | None) -> str:
    if need is None or need.environment is None:
        return ""
    return f"{need.environment}; {need.recipe.why}"


def _endpoint(
    endpoint: Endpoint, view: View, versions: dict[int, EntityRoute], default_timeout_s: float
) -> EndpointRoute:
    state, message = _endpoint_state(versions, known=endpoint.id in view.models)
    model = view.models.get(endpoint.id)
    return EndpointRoute(
        id=endpoint.id,
        workspace=endpoint.workspace,
        name=endpoint.name,
        state=state,
        message=message,
        config=part_of(resolve(endpoint.config, request_timeout_s=default_timeout_s), GatewayConfig),
        versions=versions,
        aliases={a: n for a, n in (model.aliases if model else {}).items() if n in versions},
    )


def _endpoint_state(versions: Mapping[int, EntityRoute], *, known: bool) -> tuple[EndpointState, str]:
    if not known:
        return EndpointState.PENDING, "Reading the model from the registry."
    if not versions:
        return EndpointState.READY, "No active version. The next one registered will be served."
    states = {version.state for version in versions.values()}
    if EntityState.READY in states:
        return EndpointState.READY, ""
    if states == {EntityState.FAILED}:
        newest = versions[max(versions)]
        return EndpointState.FAILED, f"No version could be served. Version {newest.number}: {newest.message}"
    return EndpointState.PENDING, "No version is ready yet."


def transitions(before: Routes, after: Routes, now_ms: int) -> list[tuple[str, Event]]:
    """What happened between two snapshots: ``(endpoint id, event)`` pairs, one for each change of a state."""
    old = {endpoint.id: endpoint for endpoint in before.endpoints.values()}
    events = []
    for endpoint in after.endpoints.values():
        then = old.get(endpoint.id)
        for number, kind, message in _changes(then, endpoint):
            event = Event(now_ms, endpoint.workspace, endpoint.name, number, kind, message)
            events.append((endpoint.id, event))
    return events


def _changes(then: EndpointRoute | None, now: EndpointRoute) -> Iterable[tuple[int | None, str, str]]:
    versions_then = then.versions if then else {}
    for number in sorted(versions_then.keys() - now.versions.keys()):
        yield number, "VERSION_REMOVED", "No longer active in the registry; its workers are stopped."
    for number, version in sorted(now.versions.items()):
        earlier = versions_then.get(number)
        if earlier is None or earlier.state is not version.state:
            yield number, f"VERSION_{version.state.value}", version.message or _words(version)
        elif version.message and version.message != earlier.message and version.state in _TELLING:
            yield number, _TELLING[version.state], version.message
        if version.environment and (earlier is None or version.environment != earlier.environment):
            yield number, "VERSION_ENVIRONMENT", f"Environment: {version.environment}."
        if version.note and (earlier is None or version.note != earlier.note):
            yield number, "VERSION_BATCHING", version.note
    if then is None or then.state is not now.state:
        yield None, f"ENDPOINT_{now.state.value}", now.message or "Serving."


def _words(version: EntityRoute) -> str:
    if version.state is not EntityState.READY:
        return str(version.state.value).capitalize()
    if version.scored_example:
        return "Serving: the model loaded and answered its own input example."
    return "Serving: the model loaded. It has no input example, so no prediction was tried."
