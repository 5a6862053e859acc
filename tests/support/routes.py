"""Routes snapshots as values: entities, and the endpoint that they belong to."""

from __future__ import annotations

from mlflow_serving_plugin.domain.config import GatewayConfig
from mlflow_serving_plugin.domain.endpoint_status import endpoint_status, latest_message, latest_of
from mlflow_serving_plugin.domain.entity import EntityKey, ModelRef, name_order
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute, Routes, routes_key
from mlflow_serving_plugin.domain.states import EndpointState, EntityState

WORKSPACE = "default"


def an_entity(
    number: int = 1,
    state: EntityState = EntityState.READY,
    message: str = "",
    *,
    endpoint_id: str = "e1",
    model: str = "iris",
    stage: str = "None",
    since_ms: int = 0,
    **more: object,
) -> EntityRoute:
    """The entity of one version of a model."""
    key, ref = EntityKey(endpoint_id, str(number)), ModelRef(WORKSPACE, model, number)
    return EntityRoute(key, ref, state, message, stage, since_ms, **more)


def endpoint_of(
    *entities: EntityRoute,
    endpoint_id: str = "e1",
    name: str = "iris",
    state: EndpointState | None = None,
    message: str = "",
    timeout_s: float = 60.0,
    dialect: str = "modern",
    aliases: dict[str, int] | None = None,
    **more: object,
) -> EndpointRoute:
    """The endpoint that these entities belong to, as the controller describes it, but for what is given."""
    entities = tuple(sorted(entities, key=lambda entity: name_order(entity.name)))
    status = endpoint_status(entities)
    active = [entity for entity in entities if entity.state is not EntityState.DRAINING]
    return EndpointRoute(
        id=endpoint_id,
        workspace=WORKSPACE,
        name=name,
        state=state or status.state,
        message=message or status.message,
        config=GatewayConfig(request_timeout_s=timeout_s, default_dialect=dialect),
        entities=tuple(entity.name for entity in active),
        draining=tuple(entity.name for entity in entities if entity not in active),
        latest=latest_of(active),
        stages={entity.stage: entity.name for entity in active},
        aliases={alias: str(number) for alias, number in (aliases or {}).items()},
        latest_message=latest_message(active),
        reason=status.reason.name if status.reason else None,
        **more,
    )


def routes_of(*entities: EntityRoute, written_ms: int = 1, **endpoint: object) -> Routes:
    """A snapshot of one endpoint with these entities; ``endpoint``: see ``endpoint_of``."""
    described = endpoint_of(*entities, **endpoint)
    return Routes(
        written_ms=written_ms,
        endpoints={routes_key(WORKSPACE, described.name): described},
        entities={str(entity.key): entity for entity in entities},
    )
