"""What a controller works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.controller.journal import EventStore
from mlflow_serving_plugin.controller.refresh import EndpointSource, ModelSource
from mlflow_serving_plugin.domain.example import Example
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings


class ControllerStore(EndpointSource, EventStore, Protocol):
    """What the controller needs of the store."""


@dataclass(frozen=True, slots=True)
class ControllerDeps:
    """What a controller works with.

    ``download(model name, version, directory)`` returns where in the directory the files are; ``example``
    reads a fetched model's input example.
    """

    settings: Settings
    paths: StatePaths
    store: ControllerStore
    registry: ModelSource
    backend: Backend
    download: Callable[[str, int, str], str]
    example: Callable[[Path], Example | None]
