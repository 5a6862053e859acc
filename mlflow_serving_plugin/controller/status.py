"""The parts of the routes, for gateway and API, from what should run and what runs. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.controller.standing import Observed, standing
from mlflow_serving_plugin.domain.config import GatewayConfig, part_of
from mlflow_serving_plugin.domain.config_rules import resolve
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.endpoint_status import endpoint_status, latest_message, latest_of, serving_status
from mlflow_serving_plugin.domain.entity import EntityKey, name_order
from mlflow_serving_plugin.domain.events import storable
from mlflow_serving_plugin.domain.library import Library
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, WorkerRoute, routes_key, serving_key
from mlflow_serving_plugin.domain.serving import ServingSpec
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.environments.recipe import Need
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.worker.loaders import LIBRARY_LOADERS

_OF_FILES = ("model_dir", "environment", "libraries", "mlflow_version", "build_log", "asks")
_STILL_SANDBOXED = "The sandbox is on although the endpoint's is off: the server's operator does not permit off."
_DRAINS = "No longer active; requests in flight finish."


def entity_route(
    wanted: DesiredEntity,
    replicas: int,
    workers: Sequence[WorkerStatus],
    observed: Observed,
    before: Routes,
    now_ms: int,
    build_log: Callable[[str], Path | None],
) -> EntityRoute:
    """An entity as it stands. ``before``: the last routes; what it looks at else is in ``describing.made_of``."""
    found = standing(wanted, replicas, workers, observed)
    earlier = before.entities.get(str(wanted.key))
    proof = observed.proof_of(wanted)
    tried = next(iter([*found.fresh, *found.outdated]), proof)
    need = found.need
    log = build_log(need.recipe.key) if need else None
    made = EntityRoute(
        key=wanted.key,
        model=wanted.entity.model,
        state=found.state,
        message=storable(found.message),
        stage=wanted.entity.stage,
        since_ms=earlier.since_ms if earlier is not None and earlier.state is found.state else now_ms,
        model_dir=str(need.recipe.model_dir) if need else None,
        note=storable(_note(wanted, next((w.note for w in workers if w.note), proof.note if proof else ""))),
        environment=f"{need.environment}; {need.recipe.why}" if need and need.environment else "",
        libraries=_libraries(need) if need else (),
        mlflow_version=need.environment.mlflow_version if need and need.environment else "",
        build_log=str(log) if log else None,
        scored_example=tried is not None and tried.scored_example,
        example_form=tried.example_form if tried is not None else 0,
        example_note=storable(tried.example_note) if tried is not None else "",
        served_name=wanted.entity.served_name,
        asks=need is not None and wanted.settings.runtime == "native" and need.recipe.loader not in LIBRARY_LOADERS,
        workers=tuple(_worker(worker) for worker in workers if worker.phase is not WorkerPhase.DEAD),
        replicas=replicas,
        changing=len(found.fresh) != replicas or bool(found.outdated),
        retry_ms=found.failure.retry_ms if found.failure else None,
    )
    if wanted.key not in observed.unread or earlier is None:
        return made
    # As an earlier controller of this host has described the files.
    return replace(made, **{name: getattr(earlier, name) for name in _OF_FILES})


def _note(wanted: DesiredEntity, of_worker: str) -> str:
    """A worker's note, and that an ``off`` does not count which is older than the server's setting."""
    refused = wanted.entity.config.sandbox == "off" != wanted.settings.sandbox
    return f"{of_worker} {_STILL_SANDBOXED}".strip() if refused else of_worker


def _libraries(need: Need) -> tuple[Library, ...]:
    there = need.environment
    return tuple(
        Library(name, logged, there.version_of(name) if there else "") for name, logged in need.recipe.logged_with
    )


def draining_routes(
    desired: Mapping[EntityKey, DesiredEntity], observed: Observed, before: Routes, now_ms: int
) -> dict[str, EntityRoute]:
    """Entities that are no longer desired, for as long as workers of theirs finish requests."""
    workers: dict[str, list[WorkerRoute]] = {}
    for worker in observed.workers:
        was_ready = worker.ready_since_ms is not None and worker.phase is not WorkerPhase.DEAD
        if worker.key not in desired and was_ready:
            workers.setdefault(str(worker.key), []).append(replace(_worker(worker), ready=False))
    found = {}
    for key, finishing in workers.items():
        if (earlier := before.entities.get(key)) is not None:
            since_ms = earlier.since_ms if earlier.state is EntityState.DRAINING else now_ms
            drains = replace(earlier, state=EntityState.DRAINING, message=_DRAINS, since_ms=since_ms)
            found[key] = replace(drains, workers=tuple(finishing))
    return found


def _worker(worker: WorkerStatus) -> WorkerRoute:
    ready = worker.phase is WorkerPhase.READY
    return WorkerRoute(
        worker_id=worker.worker_id,
        protocol=worker.protocol,
        address=worker.address,
        pid=worker.pid,
        started_ms=worker.started_ms,
        ready=ready,
        secret=worker.secret,
        node=worker.node,
        draining=worker.phase is WorkerPhase.DRAINING,
    )


def endpoint_route(
    endpoint: Endpoint, model: RegisteredModel | None, entities: Sequence[EntityRoute], default_timeout_s: float
) -> EndpointRoute:
    """An endpoint as it stands. ``model``: of an endpoint that is one model's, once that model was read."""
    entities = sorted(entities, key=lambda entity: name_order(entity.name))
    draining = tuple(entity.name for entity in entities if entity.state is EntityState.DRAINING)
    entities = [entity for entity in entities if entity.state is not EntityState.DRAINING]
    answering = _answering(endpoint.spec) if endpoint.spec else {}
    if endpoint.spec is not None:
        # Those of the next configuration tell nothing of how the endpoint stands.
        there = {entity.name: entity for entity in entities}
        gone = [name for name, key_name in answering.items() if key_name not in there]
        status = serving_status([entity for entity in entities if entity.name in answering.values()], gone)
    else:
        status = endpoint_status(entities, known=model is not None)
    own = endpoint.config if endpoint.spec is None else endpoint.spec.config
    names = tuple(entity.name for entity in entities)
    aliases = {alias: str(number) for alias, number in (model.aliases if model else {}).items()}
    return EndpointRoute(
        id=endpoint.id,
        workspace=endpoint.workspace,
        name=endpoint.name,
        state=status.state,
        message=status.message,
        config=part_of(resolve(own, request_timeout_s=default_timeout_s), GatewayConfig),
        entities=names,
        draining=draining,
        latest=latest_of(entities),
        # The highest number that holds a stage answers for the stage, as in MLflow.
        stages={entity.stage: entity.name for entity in entities},
        aliases={alias: name for alias, name in aliases.items() if name in names},
        latest_message=latest_message(entities),
        reason=status.reason.name if status.reason else None,
        inactive={str(v.number): v.inactive for v in (model.versions if model else ()) if not v.active},
        generation=endpoint.generation,
        served=answering,
        traffic=_traffic(endpoint.spec) if endpoint.spec else (),
        shadow=_shadow(endpoint.spec) if endpoint.spec else None,
        # Those of the next configuration count once that configuration answers.
        models=_models(endpoint.spec) if endpoint.spec else None,
    )


def key_of(endpoint: Endpoint) -> str:
    """The key of an endpoint in the snapshot."""
    return (routes_key if endpoint.spec is None else serving_key)(endpoint.workspace, endpoint.name)


def _answering(spec: ServingSpec) -> dict[str, str]:
    """The entities of a serving endpoint that answer: their keys' names by the names that people know."""
    return {entity.name: entity.key_name for entity in spec.present.entities} if spec.present else {}


def _traffic(spec: ServingSpec) -> tuple[tuple[str, int], ...]:
    names = _answering(spec)
    return tuple((names[name], percent) for name, percent in spec.present.traffic) if spec.present else ()


def _shadow(spec: ServingSpec) -> Shadow | None:
    shadow = spec.present.shadow if spec.present else None
    return replace(shadow, entity=_answering(spec)[shadow.entity]) if shadow else None


def _models(spec: ServingSpec) -> tuple[str, ...]:
    return spec.present.models if spec.present else ()
