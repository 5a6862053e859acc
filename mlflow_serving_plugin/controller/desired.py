"""What should run: enabled endpoints and their active versions. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.backends.base import fingerprint
from mlflow_serving_plugin.domain.config import WorkerSettings, part_of, resolve
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel


@dataclass(frozen=True, slots=True)
class View:
    """What the store and the registry said when they were last read. Models are keyed by endpoint id."""

    endpoints: Mapping[str, Endpoint] = field(default_factory=dict)
    models: Mapping[str, RegisteredModel] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DesiredEntity:
    """A version that is to be served, and with which workers."""

    key: EntityKey
    endpoint: Endpoint
    version: ModelVersion
    settings: WorkerSettings
    fingerprint: str

    @property
    def replicas(self) -> int:
        """How many workers."""
        return self.endpoint.config.replicas


def desire(view: View, default_timeout_s: float, *, sandbox_by_default: bool = False) -> dict[EntityKey, DesiredEntity]:
    """All versions to be served, in a stable order: by endpoint, newest first."""
    desired = {}
    for endpoint in view.endpoints.values():
        model = view.models.get(endpoint.id)
        if model is None:
            continue
        settings = worker_settings(endpoint, default_timeout_s, sandbox_by_default=sandbox_by_default)
        for version in reversed(model.versions):
            if version.active:
                key = EntityKey(endpoint.id, version.number)
                desired[key] = DesiredEntity(key, endpoint, version, settings, fingerprint(version.source, settings))
    return desired


def worker_settings(
    endpoint: Endpoint, default_timeout_s: float, *, sandbox_by_default: bool = False
) -> WorkerSettings:
    """What an endpoint's workers are started with."""
    config = resolve(endpoint.config, request_timeout_s=default_timeout_s, sandbox_by_default=sandbox_by_default)
    return part_of(config, WorkerSettings)
