"""Equal values as one object: thousands of versions have most of what is known of them in common."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from dataclasses import replace
from functools import lru_cache
from typing import TypeVar, cast

from mlflow_serving_plugin.domain.config import GatewayConfig
from mlflow_serving_plugin.domain.routes import EndpointRoute, EntityRoute

_MOST = 10_000
_Value = TypeVar("_Value", bound=Hashable)

_configs: dict[str, GatewayConfig] = {}


def same(value: _Value) -> _Value:
    """The value, as the object that an equal value was before."""
    return cast("_Value", _same(value))


@lru_cache(maxsize=_MOST, typed=True)
def _same(value: Hashable) -> Hashable:
    return value


def thrifty_entity(entity: EntityRoute) -> EntityRoute:
    """The route of an entity, which shares with others what they have in common."""
    return replace(
        entity,
        message=sys.intern(entity.message),
        note=sys.intern(entity.note),
        environment=sys.intern(entity.environment),
        libraries=same(entity.libraries),
        mlflow_version=sys.intern(entity.mlflow_version),
        stage=sys.intern(entity.stage),
    )


def thrifty_endpoint(endpoint: EndpointRoute) -> EndpointRoute:
    """The route of an endpoint, likewise."""
    if len(_configs) > _MOST:
        _configs.clear()
    # By its text, for a configuration may hold a dictionary.
    config = _configs.setdefault(repr(endpoint.config), endpoint.config)
    return replace(endpoint, config=config, message=sys.intern(endpoint.message))
