"""The number of workers of each entity. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_serving_plugin.controller.desired import DesiredEntity
from mlflow_serving_plugin.domain.entity import EntityKey


def scale(desired: Mapping[EntityKey, DesiredEntity]) -> dict[EntityKey, int]:
    """The number of workers of each desired entity: what its configuration says."""
    return {key: wanted.entity.config.replicas for key, wanted in desired.items()}
