"""Tags and rate limits of a serving endpoint as callers write them: checked, each refusal naming the field. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mlflow_serving_plugin.domain.serving import ServingSpec
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.operations.fields import Fields

MOST_TAGS = 20
MOST_CALLS = 1_000_000_000

_NOT_IN_GATEWAY = {
    "fallback_config": "this server has no fallbacks; the share of an entity that has failed goes to the others",
    "guardrails": "this server has no guardrails",
    "inference_table_config": "this server has no inference tables",
    "usage_tracking_config": "this server has no usage tables; its metrics count all requests",
}
_LIMITS = {"endpoint": "calls_per_minute", "user": "calls_per_minute_per_user"}
"""What Databricks counts calls by, and the field of a specification that says the most calls of a minute."""


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
    """The fields of Databricks' AI gateway, of which this server has the rate limits, as fields of a specification."""
    for name, reason in _NOT_IN_GATEWAY.items():
        part = fields.object(name)
        if part is not None and part.values() and part.get("enabled") is not False:
            raise fields.refusal(name, reason)
    return read_rate_limits(fields.only(("rate_limits",), ignored=_NOT_IN_GATEWAY))


def show_rate_limits(spec: ServingSpec) -> list[dict[str, object]]:
    """The limits as callers write them."""
    found = [(key, getattr(spec, name)) for key, name in _LIMITS.items()]
    return [{"calls": calls, "key": key, "renewal_period": "minute"} for key, calls in found if calls is not None]
