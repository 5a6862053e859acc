"""What a controller works with."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.controller.journal import EventStore
from mlflow_serving_plugin.controller.refresh import EndpointSource, ModelSource
from mlflow_serving_plugin.domain.example import Example
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.recipe import Need, Recipe
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.metrics.controller import MERGE_EVERY_S
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.settings import Settings


class ControllerStore(EndpointSource, EventStore, Protocol):
    """What the controller needs of the store."""


class EnvironmentSource(Protocol):
    """What the controller needs of the environments. Thread-safe; ``build`` blocks, all else is quick."""

    def need(self, model_dir: Path, env_manager: str) -> Need:
        """What a fetched model needs; a ServingError when its files do not say so clearly."""

    def find(self, recipe: Recipe) -> Environment | None:
        """The environment of a recipe, None when it has to be built."""

    def build(self, recipe: Recipe) -> Environment:
        """Build the environment, unless it exists; a ServingError with the reason when the build fails."""

    def doing(self, key: str) -> str:
        """What a build under way is at, for a person."""

    def log(self, key: str) -> Path | None:
        """The log of an environment's build."""

    def cancel(self) -> None:
        """End builds under way."""

    def remove_interrupted(self) -> None:
        """Remove what interrupted builds left."""

    def evict(self, in_use: Collection[str]) -> Collection[Environment]:
        """Remove environments above the size limit, none of those in use."""


@dataclass(frozen=True, slots=True)
class ControllerDeps:
    """What a controller works with.

    ``download(workspace, model name, version, directory)`` returns where in the directory the files are; ``example``
    reads a fetched model's input example.
    """

    settings: Settings
    paths: StatePaths
    store: ControllerStore
    registry: ModelSource
    backend: Backend
    environments: EnvironmentSource
    download: Callable[[str, str, int, str], str]
    example: Callable[[Path], Example | None]
    metrics: Metrics = field(default_factory=lambda: Metrics(None))
    merge_metrics_every_s: float = MERGE_EVERY_S
