"""Makes one environment in a directory of its own, by uv, by conda or by MLflow's virtualenv."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from mlflow_serving_plugin.environments import commands
from mlflow_serving_plugin.environments.conda import conda_command
from mlflow_serving_plugin.environments.explain import explain
from mlflow_serving_plugin.environments.pythons import python_for
from mlflow_serving_plugin.environments.recipe import Recipe
from mlflow_serving_plugin.environments.run import BuildFailedError, BuildLog, Runner
from mlflow_serving_plugin.settings import Settings


class Builder:
    """One build. Each step either works or raises BuildFailedError with the reason in a sentence."""

    def __init__(self, recipe: Recipe, directory: Path, runner: Runner, log: BuildLog, settings: Settings) -> None:
        self._recipe = recipe
        self._directory = directory
        self._runner = runner
        self._log = log
        self._settings = settings
        self._uv = find_uv()

    def build(self) -> Path:
        """Make the environment; its interpreter."""
        steps: dict[str, Callable[[], Path]] = {"uv": self._uv_venv, "conda": self._conda, "virtualenv": self._mlflow}
        python = steps[self._recipe.manager]()
        self._install(python)
        return python

    def _uv_venv(self) -> Path:
        directory = self._directory / "env"
        self._step(commands.uv_venv(self._uv, python_for(self._recipe.python, os.environ), directory))
        return directory / "bin" / "python"

    def _conda(self) -> Path:
        prefix = self._directory / "env"
        recipe = self._recipe
        self._step(conda_command(prefix, recipe.conda_packages, recipe.channels, offline=self._settings.offline))
        return prefix / "bin" / "python"

    def _mlflow(self) -> Path:
        """MLflow's own way, by its public command: pyenv for the Python, virtualenv and pip for the rest."""
        self._step(
            [
                *(sys.executable, "-m", "mlflow", "models", "prepare-env"),
                *("--model-uri", str(self._recipe.model_dir), "--env-manager", "virtualenv"),
            ],
            {"MLFLOW_ENV_ROOT": str(self._directory / "mlflow")},
        )
        found = sorted((self._directory / "mlflow").glob("**/mlflow-*/bin/python"))
        if not found:
            raise BuildFailedError("MLflow's virtualenv manager built an environment that cannot be found again.")
        return found[0]

    def _install(self, python: Path) -> None:
        """What pip installs, by uv, into whatever environment. What is there already is left as it is."""
        recipe, binary = self._recipe, self._settings.only_binary
        constraints = self._file("constraints.txt", recipe.constraints) if recipe.constraints else None
        if recipe.build_requirements:
            first = self._file("build-requirements.txt", recipe.build_requirements)
            self._step(commands.uv_install(self._uv, python, first, None, only_binary=binary))
        requirements = self._file("requirements.txt", recipe.requirements)
        self._step(commands.uv_install(self._uv, python, requirements, constraints, only_binary=binary))

    def _file(self, name: str, lines: tuple[str, ...]) -> Path:
        path = self._directory / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def _step(self, command: list[str], env: dict[str, str] | None = None) -> None:
        # Paths in a model's requirements start at the model.
        if not self._runner.run(command, self._recipe.model_dir, env):
            raise BuildFailedError(explain(self._log.tail, self._recipe.python, offline=self._settings.offline))


def find_uv() -> str:
    """uv's program, which its wheel brings."""
    from uv import find_uv_bin

    return str(find_uv_bin())
