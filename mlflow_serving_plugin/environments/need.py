"""What a fetched model needs to run, and whether it is there."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Need:
    """A model's recipe; ``environment`` None: it has to be built first."""

    recipe: Recipe
    environment: Environment | None
