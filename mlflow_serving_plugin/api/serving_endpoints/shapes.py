"""Replies of ``serving-endpoints``, to the letter of what Databricks' clients read. Pure.

Fields of our own: ``rate_limits``, ``config.shadow``, ``state.config_update_message``, ``served_entities[].config`` and
``.model_version_now``.
"""

from __future__ import annotations

from typing import Any

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.operations.config import PLACEHOLDER, show_config
from mlflow_serving_plugin.operations.described import Described
from mlflow_serving_plugin.operations.served_extras import show_ai_gateway, show_rate_limits

LEVELS = {
    "CAN_VIEW": "Can view: READ on every registered model that the endpoint serves",
    "CAN_QUERY": "Can query: READ on every registered model that the endpoint serves",
    "CAN_MANAGE": "Can manage: MANAGE on all of these, or READ for the creator of the endpoint",
}
_SIZED = {"replicas", "min_replicas", "max_replicas", "target_requests", "environment"}
"""Keys of the configuration that follow from Databricks' fields."""

_ZERO = {EntityState.ASLEEP: "Scaled to zero", EntityState.WAKING: "Scaling from zero"}
"""In Databricks' words."""

_DEFAULTS = show_config(EndpointConfig())


def endpoint(found: Described) -> dict[str, Any]:
    """An endpoint as a whole."""
    spec = found.spec
    shape = _head(found)
    if spec.active is not None:
        shape["config"] = _config(spec.active, found, update=False)
    if found.pending is not None:
        shape["pending_config"] = _config(found.pending, found, update=True) | {"start_time": found.pending.started_ms}
    limits, gateway = show_rate_limits(spec), show_ai_gateway(spec)
    shape |= ({"rate_limits": limits} if limits else {}) | ({"ai_gateway": gateway} if gateway else {})
    return shape | {"route_optimized": False}


def summary(found: Described) -> dict[str, Any]:
    """An endpoint in the list: what it serves, and no more of the configuration."""
    present = found.spec.active
    entities = () if present is None else present.entities
    named = [{"name": entity.name, **_model(entity)} for entity in entities]
    old = [{"name": entity.name, **_old_model(entity)} for entity in entities]
    return _head(found) | ({"config": {"served_entities": named, "served_models": old}} if present else {})


def deployment(found: Described) -> dict[str, Any]:
    """An endpoint as ``mlflow.deployments`` knows the endpoints of MLflow's gateway."""
    return {
        "name": found.endpoint.name,
        "endpoint_type": "llm/v1/custom",
        "model": {"name": ", ".join(found.spec.models), "provider": "mlflow"},
        "endpoint_url": f"/endpoints/{found.endpoint.name}/invocations",
        "limit": None,
    }


def tags(given: dict[str, str | None]) -> list[dict[str, str]]:
    """Tags, by key."""
    return [{"key": key} | ({} if value is None else {"value": value}) for key, value in sorted(given.items())]


def permissions(found: Described, user: str | None) -> dict[str, Any]:
    """What the caller may do, which follows from the permissions on registered models."""
    level = {"permission_level": _level(found), "inherited": True, "inherited_from_object": ["/registered-models/"]}
    return {
        "object_id": f"/serving-endpoints/{found.endpoint.id}",
        "object_type": "serving-endpoint",
        "access_control_list": [{"user_name": user or "", "display_name": user or "", "all_permissions": [level]}],
    }


def _head(found: Described) -> dict[str, Any]:
    spec = found.spec
    ended = "UPDATE_CANCELED" if spec.canceled else "UPDATE_FAILED" if spec.failure else "NOT_UPDATING"
    update = "IN_PROGRESS" if spec.pending else ended
    state = {
        "ready": "READY" if found.ready() else "NOT_READY",
        "config_update": update,
        "suspend": "NOT_SUSPENDED",
    }
    return {
        "name": found.endpoint.name,
        "id": found.endpoint.id,
        "creator": spec.creator,
        "creation_timestamp": spec.created_ms,
        "last_updated_timestamp": spec.updated_ms,
        "state": state | ({"config_update_message": spec.failure} if spec.failure else {}),
        "tags": tags(dict(spec.tags)),
        "description": spec.description,
        "permission_level": _level(found),
        "endpoint_type": "CUSTOM_MODEL_SERVING",
        "creator_display_name": spec.creator,
    }


def _level(found: Described) -> str:
    return "CAN_MANAGE" if found.manages else "CAN_QUERY"


def _config(config: ServedConfig, found: Described, *, update: bool) -> dict[str, Any]:
    entities = [(entity, _common(entity, found, update=update)) for entity in config.entities]
    routes = [
        {"served_model_name": name, "served_entity_name": name, "traffic_percentage": percent}
        for name, percent in config.traffic
    ]
    return {
        "served_entities": [_model(entity) | common for entity, common in entities],
        "served_models": [_old_model(entity) | common for entity, common in entities],
        "traffic_config": {"routes": routes},
        **({"shadow": _shadow(config.shadow)} if config.shadow else {}),
        "config_version": config.version,
        **({"request_log": dict(config.request_log)} if config.request_log else {}),
    }


def _shadow(shadow: Shadow) -> dict[str, Any]:
    return {
        "served_model_name": shadow.entity,
        "percentage": int(shadow.percentage) if shadow.percentage.is_integer() else shadow.percentage,
        "tolerance": shadow.tolerance,
    }


def _model(entity: ServedEntity) -> dict[str, str]:
    return {"entity_name": entity.model, "entity_version": entity.version}


def _old_model(entity: ServedEntity) -> dict[str, str]:
    return {"model_name": entity.model, "model_version": entity.version}


def _common(entity: ServedEntity, found: Described, *, update: bool) -> dict[str, Any]:
    """What ``served_entities`` and ``served_models`` both say."""
    route = found.entities.get(entity.key_name)
    hidden = dict.fromkeys(sorted(entity.config.environment), PLACEHOLDER)
    own = {
        key: value for key, value in show_config(entity.config).items() if key not in _SIZED and value != _DEFAULTS[key]
    }
    return {
        "name": entity.name,
        **entity.sizing,
        **({"environment_vars": hidden} if hidden else {}),
        **({"config": own} if own else {}),
        **({"model_version_now": str(route.model.version)} if route and not entity.version.isdigit() else {}),
        "creator": entity.creator,
        "creation_timestamp": entity.created_ms,
        "state": _state(route, found, update=update),
    }


def _state(route: EntityRoute | None, found: Described, *, update: bool) -> dict[str, str]:
    if found.just_updated and not update:
        return {"deployment": "DEPLOYMENT_READY", "deployment_state_message": ""}
    observed = found.route is not None and found.route.generation >= found.endpoint.generation
    if route is None and observed:
        message = "The registry has no such version of the model."
        return {"deployment": "DEPLOYMENT_FAILED", "deployment_state_message": message}
    creating = "Creating resources for served entity."
    if route is None:
        return {"deployment": "DEPLOYMENT_CREATING", "deployment_state_message": creating}
    deployment = route.state.facts.deployment
    if deployment == "DEPLOYMENT_CREATING" and not update and not found.spec.failure:
        # An entity of the present configuration has been ready before.
        deployment = "DEPLOYMENT_RECOVERING"
    message = _ZERO.get(route.state, route.explanation)
    if deployment == "DEPLOYMENT_CREATING":
        message = f"{creating} {route.message}".rstrip()
    return {"deployment": deployment, "deployment_state_message": message}
