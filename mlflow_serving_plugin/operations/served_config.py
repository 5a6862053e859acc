"""The configuration of a serving endpoint as callers write it: checked, and turned into entities and traffic.

Each refusal names the field. What Databricks has and this server has not is refused with a sentence. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from mlflow_serving_plugin.domain.config import GATEWAY, EndpointConfig, keys_for
from mlflow_serving_plugin.domain.serving import LONGEST_NAME, ServedConfig, ServedEntity, default_name
from mlflow_serving_plugin.domain.traffic import TOLERANCE, Shadow
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.config import merge_config
from mlflow_serving_plugin.operations.fields import Fields

MOST_ENTITIES = 15
CONCURRENCY = 4
"""Requests at the same time that count as one worker's: Databricks sizes entities in steps of four."""

_NAME = re.compile(rf"[A-Za-z0-9_-]{{1,{LONGEST_NAME}}}")
NAME_RULE = f"1 to {LONGEST_NAME} letters, digits, dashes and underscores"

_SIZES = {"Small": (4, 4), "Medium": (8, 16), "Large": (16, 64)}
"""Fewest and most requests at the same time."""

_MOST_TOLERANCE = 1e9
_TYPES = ("CPU", "CPU_MEDIUM", "CPU_LARGE")
_OUTPUT = {"creator", "creation_timestamp", "state", "foundation_model", "type", "model_version_now"}
"""Fields of answers: a caller may send an entity back as it was read."""

_THROUGHPUT = "this server has no provisioned throughput; give workload_size instead"
_REFUSED = {
    "external_model": "this server serves models of its registry only; MLflow's gateway has external models",
    "instance_profile_arn": "this server has no instance profiles",
    "min_provisioned_throughput": _THROUGHPUT,
    "max_provisioned_throughput": _THROUGHPUT,
    "provisioned_model_units": _THROUGHPUT,
    "burst_scaling_enabled": "this server has no burst scaling",
}
_NOT_OF_ENTITIES = {
    **dict.fromkeys(keys_for(GATEWAY), "the server's own holds for serving endpoints"),
    "request_log": "give request_log beside served_entities",
    **dict.fromkeys(("calls_per_minute", "calls_per_minute_per_user"), "give the endpoint rate_limits"),
    **dict.fromkeys(
        ("replicas", "min_replicas", "max_replicas", "target_requests"),
        "give workload_size and scale_to_zero_enabled, or min_provisioned_concurrency and max_provisioned_concurrency",
    ),
}
"""Keys of the configuration that an entity has not, and what there is instead."""

_ENTITY_FIELDS = (
    *("entity_name", "entity_version", "model_name", "model_version", "name"),
    *("workload_size", "workload_type", "scale_to_zero_enabled"),
    *("min_provisioned_concurrency", "max_provisioned_concurrency", "environment_vars", "config"),
)
_CONFIG_FIELDS = (
    *("served_entities", "served_models", "traffic_config", "auto_capture_config"),
    *("shadow", "request_log"),
)


def is_name(text: str) -> bool:
    """Whether a text can be the name of an endpoint or of an entity."""
    return _NAME.fullmatch(text) is not None


def read_config(
    document: Mapping[str, Any], before: ServedConfig | None, path: str = "", *, sandbox_optional: bool = False
) -> ServedConfig:
    """The configuration that a caller wrote; InvalidParameterError naming the field.

    ``before``: the present configuration, whose hidden values a placeholder keeps. ``path`` leads to the document.
    ``sandbox_optional`` False: no entity can turn its sandbox off.
    """
    fields = Fields(document, path).only(_CONFIG_FIELDS, ignored=("config_version", "start_time", "name"))
    captured = fields.object("auto_capture_config")
    if captured is not None and captured.flag("enabled", default=True):
        raise captured.refusal("enabled", "is what Databricks has ended; give request_log, or ai_gateway")
    is_old = fields.get("served_entities") is None and fields.get("served_models") is not None
    key = "served_models" if is_old else "served_entities"
    given = fields.objects(key)
    if not 1 <= len(given) <= MOST_ENTITIES:
        raise fields.refusal(key, f"must be a list of 1 to {MOST_ENTITIES} entities")
    entities = tuple(_entity(item, before, sandbox_optional) for item in given)
    names = [entity.name for entity in entities]
    for item, name in zip(given, names, strict=True):
        if names.count(name) > 1:
            raise item.refusal("name", f"'{name}' is the name of two entities; give each a name of its own")
    traffic = _traffic(fields, names)
    shadow, log = _shadow(fields, names, dict(traffic)), _request_log(fields, before)
    return ServedConfig(0, entities, traffic, shadow=shadow, request_log=log)


def _request_log(fields: Fields, before: ServedConfig | None) -> Mapping[str, Any]:
    """What is left out stays as it is."""
    kept = EndpointConfig(request_log=dict(before.request_log) if before else {})
    given = fields.object("request_log")
    if given is None:
        return kept.request_log
    try:
        return merge_config(kept, {"request_log": given.values()}).request_log
    except InvalidParameterError as error:
        raise InvalidParameterError(fields.path + error.message.removeprefix("config.")) from None


def _entity(fields: Fields, before: ServedConfig | None, sandbox_optional: bool) -> ServedEntity:
    for name, reason in _REFUSED.items():
        if fields.get(name) not in (None, False):
            raise fields.refusal(name, reason)
    fields.only(_ENTITY_FIELDS, ignored=(*_OUTPUT, *_REFUSED))
    old = fields.get("entity_name") is None
    model = fields.text("model_name" if old and fields.get("model_name") is not None else "entity_name")
    version = fields.text("model_version" if old and fields.get("model_version") is not None else "entity_version")
    if version.isascii() and version.isdigit():
        version = str(int(version))  # 01 is version 1
    name = default_name(model, version) if fields.get("name") in (None, "") else fields.text("name")
    if not is_name(name):
        raise fields.refusal("name", f"must be {NAME_RULE}")
    kind = fields.one_of("workload_type", _TYPES, default="CPU", otherwise="this server's entities run on CPUs")
    sizing, changes = _sizing(fields)
    earlier = before.entity(name) if before else None
    config = _settings(fields, changes, earlier.config if earlier else EndpointConfig(), sandbox_optional)
    return ServedEntity(name, model, version, 0, config, sizing={**sizing, "workload_type": kind})


def _sizing(fields: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """How many workers an entity has: as a caller wrote it, and as keys of a configuration."""
    sleeps = fields.flag("scale_to_zero_enabled", default=False)
    bounds = {
        name: fields.number(name, 0, 64 * CONCURRENCY, step=CONCURRENCY)
        for name in ("min_provisioned_concurrency", "max_provisioned_concurrency")
        if fields.get(name) is not None
    }
    if not bounds:
        size = fields.one_of("workload_size", tuple(_SIZES), default="Small")
        least, most = _SIZES[size]
        sizing: dict[str, Any] = {"workload_size": size}
    else:
        if fields.get("workload_size") is not None:
            raise fields.refusal(
                "workload_size", "excludes min_provisioned_concurrency and max_provisioned_concurrency"
            )
        most = bounds.get("max_provisioned_concurrency", max(bounds.get("min_provisioned_concurrency", 0), CONCURRENCY))
        least = bounds.get("min_provisioned_concurrency", min(most, CONCURRENCY))
        sizing = dict(bounds)
        if most == 0 or least > most:
            raise fields.refusal("max_provisioned_concurrency", "must be above 0, and no less than the minimum")
    fewest, highest = least // CONCURRENCY, most // CONCURRENCY
    changes = {
        "replicas": max(1, fewest),
        "min_replicas": 0 if sleeps else fewest,
        "max_replicas": highest,
        "target_requests": CONCURRENCY,
    }
    return {**sizing, "scale_to_zero_enabled": sleeps}, changes


def _settings(
    fields: Fields, sizing: dict[str, Any], earlier: EndpointConfig, sandbox_optional: bool
) -> EndpointConfig:
    """The entity's configuration: of our own keys in ``config``, over those that Databricks' fields stand for."""
    own = fields.object("config")
    given = {} if own is None else own.values()
    for name, reason in _NOT_OF_ENTITIES.items():
        if own is not None and name in given:
            raise own.refusal(name, f"is not a setting of an entity; {reason}")
    changes = {**sizing, **given}
    variables = fields.object("environment_vars")
    if variables is not None:
        for name, value in variables.values().items():
            if isinstance(value, str) and value.startswith("{{secrets/"):
                raise variables.refusal(name, "this server has no secret scopes; give the value itself")
        changes["environment"] = variables.values()
    try:
        # Of the earlier configuration count the values of variables, and that the sandbox was off.
        current = EndpointConfig(environment=earlier.environment, sandbox=earlier.sandbox)
        whole = {"environment": {}, "sandbox": None, **changes}
        return merge_config(current, whole, sandbox_optional=sandbox_optional)
    except InvalidParameterError as error:
        message = error.message.replace("config.environment", "environment_vars", 1) if variables else error.message
        raise InvalidParameterError(fields.path + message) from None


def _traffic(fields: Fields, names: Sequence[str]) -> tuple[tuple[str, int], ...]:
    config = fields.object("traffic_config")
    routes = [] if config is None else config.only(("routes",)).objects("routes")
    if not routes:
        if len(names) > 1:
            raise fields.refusal("traffic_config", "is needed with several entities: a percentage for each")
        return ((names[0], 100),)
    traffic: dict[str, int] = {}
    for route in routes:
        route.only(("served_model_name", "served_entity_name", "traffic_percentage"))
        key = "served_model_name" if route.get("served_entity_name") is None else "served_entity_name"
        name = route.text(key)
        if name not in names or name in traffic:
            raise route.refusal(key, f"must be one of the entities, each once: {', '.join(names)}")
        traffic[name] = route.number("traffic_percentage", 0, 100)
    if sum(traffic.values()) != 100:
        raise fields.refusal("traffic_config.routes", f"have {sum(traffic.values())} % in all, but must have 100 %")
    return tuple(traffic.items())


def _shadow(fields: Fields, names: Sequence[str], traffic: Mapping[str, int]) -> Shadow | None:
    shadow = fields.object("shadow")
    if shadow is None:
        return None
    shadow.only(("served_model_name", "served_entity_name", "percentage", "tolerance"))
    key = "served_model_name" if shadow.get("served_entity_name") is None else "served_entity_name"
    name = shadow.text(key)
    if name not in names:
        raise shadow.refusal(key, f"must be one of the entities: {', '.join(names)}")
    if traffic.get(name) == 100:
        others = "a shadow scores what other entities have answered; leave shadow out, or give others traffic"
        raise shadow.refusal(key, f"'{name}' has all the traffic, and {others}")
    percentage = shadow.decimal("percentage", 100, default=100.0)
    return Shadow(name, percentage, shadow.decimal("tolerance", _MOST_TOLERANCE, default=TOLERANCE))
