"""Tags, rate limits and the AI gateway of a serving endpoint as callers write them: checked. Pure.

Each refusal names the field.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow_serving_plugin.domain.serving import ServingSpec
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError
from mlflow_serving_plugin.operations.fields import Fields
from mlflow_serving_plugin.registry.models import RegisteredModel

MOST_TAGS = 20
MOST_CALLS = 1_000_000_000

NOT_HERE = {
    "route_optimized": "this server has one kind of routes",
    "budget_policy_id": "this server has no budgets",
    "email_notifications": "this server sends no mails",
    "telemetry_config": "this server has no telemetry tables",
}
"""Fields of a new endpoint that Databricks has, and why this server has not."""

_NOT_IN_GATEWAY = {
    "fallback_config": "this server has no fallbacks; the share of an entity that has failed goes to the others",
    "guardrails": "this server has no guardrails",
    "usage_tracking_config": "this server has no usage tables; its metrics count all requests",
}
_TABLE_NAMES = ("catalog_name", "schema_name", "table_name_prefix")
"""Of Databricks' inference tables. Here a log has a place of its own, see ``domain.request_log``."""

_LIMITS = {"endpoint": "calls_per_minute", "user": "calls_per_minute_per_user"}
"""What Databricks counts calls by, and the field of a specification that says the most calls of a minute."""


def require_version(model: RegisteredModel, version: str, where: str) -> None:
    """NotFoundError when a model has no such version. ``where``: the path of the entity."""
    if model.find(version) is None:
        meant = f"@{version}"
        hint = f"Is it {meant}?" if model.find(meant) else "Give a number, @alias or a stage."
        raise NotFoundError(
            f"{where}.entity_version: registered model '{model.name}' has no version '{version}' that is registered "
            f"completely. {hint}"
        )


def read_tags(given: Iterable[Fields]) -> dict[str, str | None]:
    """Tags by their keys."""
    tags: dict[str, str | None] = {}
    for fields in given:
        fields.only(("key", "value"))
        tags[fields.text("key")] = fields.text("value", empty=True) if fields.get("value") is not None else None
    return tags


def limited_tags(tags: Mapping[str, str | None]) -> dict[str, str | None]:
    """The tags by key; InvalidParameterError when there are too many."""
    if len(tags) > MOST_TAGS:
        raise InvalidParameterError(f"tags: an endpoint may have at most {MOST_TAGS} tags.")
    return dict(sorted(tags.items()))


def read_rate_limits(fields: Fields) -> dict[str, Any]:
    """The field ``rate_limits`` as fields of a specification."""
    limits: dict[str, Any] = dict.fromkeys(_LIMITS.values())
    for item in fields.objects("rate_limits"):
        item.only(("calls", "key", "renewal_period"))
        name = _LIMITS[item.one_of("key", tuple(_LIMITS), default="endpoint")]
        item.one_of("renewal_period", ("minute",), default="minute")
        if limits[name] is not None:
            raise item.refusal("key", "has a limit already; give one limit for each key")
        limits[name] = item.number("calls", 0, MOST_CALLS)
    return limits


def read_ai_gateway(fields: Fields) -> dict[str, Any]:
    """The fields of Databricks' AI gateway as fields of a specification: rate limits, and the inference table."""
    for name, reason in _NOT_IN_GATEWAY.items():
        part = fields.object(name)
        if part is not None and part.values() and part.get("enabled") is not False:
            raise fields.refusal(name, reason)
    fields.only(("rate_limits", "inference_table_config"), ignored=_NOT_IN_GATEWAY)
    return read_rate_limits(fields) | {"inference_table": _read_inference_table(fields)}


def read_limits_of_new(fields: Fields) -> dict[str, Any]:
    """What a new endpoint has of ``rate_limits`` and of ``ai_gateway``, as fields of a specification."""
    limits, gateway = read_rate_limits(fields), fields.object("ai_gateway")
    if gateway is None:
        return limits
    if gateway.get("rate_limits") and fields.get("rate_limits"):
        raise gateway.refusal("rate_limits", "give the limits once, here or in rate_limits")
    read = read_ai_gateway(gateway)
    return {**read, **{name: value for name, value in limits.items() if value is not None}}


def _read_inference_table(fields: Fields) -> dict[str, Any]:
    table = fields.object("inference_table_config")
    if table is None:
        return {}
    table.only((*_TABLE_NAMES, "enabled"))
    names = {name: table.text(name) for name in _TABLE_NAMES if table.get(name) is not None}
    return {**names, "enabled": table.flag("enabled", default=False)}


def show_ai_gateway(spec: ServingSpec) -> dict[str, Any]:
    """The AI gateway as callers write it; empty where nothing is set."""
    limits, table = show_rate_limits(spec), dict(spec.inference_table)
    return ({"rate_limits": limits} if limits else {}) | ({"inference_table_config": table} if table else {})


def show_rate_limits(spec: ServingSpec) -> list[dict[str, object]]:
    """The limits as callers write them."""
    found = [(key, getattr(spec, name)) for key, name in _LIMITS.items()]
    return [{"calls": calls, "key": key, "renewal_period": "minute"} for key, calls in found if calls is not None]
