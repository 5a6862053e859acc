"""What a controller works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.domain.config_rules import NO_RULES, ServerRules
from mlflow_serving_plugin.domain.entity import Example
from mlflow_serving_plugin.domain.tracking import NO_TRACKING, TrackingRules
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.metrics.controller import MERGE_EVERY_S
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.worker_tokens import WorkerTokenStore


@dataclass(frozen=True, slots=True)
class ControllerDeps:
    """What a controller works with.

    ``download(workspace, model name, version, directory)`` returns where in the directory the files are; ``example``
    reads a fetched model's input example. ``page``: where a browser finds the list of endpoints, for the log.
    """

    settings: Settings
    paths: StatePaths
    store: Store
    registry: RegistryReader
    backend: Backend
    environments: Environments
    download: Callable[[str, str, int, str], str]
    example: Callable[[Path], Example | None]
    rules: ServerRules = NO_RULES
    metrics: Metrics = field(default_factory=lambda: Metrics(None))
    merge_metrics_every_s: float = MERGE_EVERY_S
    tracking: TrackingRules = NO_TRACKING
    worker_tokens: WorkerTokenStore | None = None
    """None on a server without users."""
    page: str = "/#/serving"
