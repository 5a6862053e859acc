"""Registered models in memory, as ``registry.reader.RegistryReader`` reads them from MLflow's store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel


class MemoryRegistry:
    """Registered models. ``broken``: an error that every call raises; ``reads``: the names that were read."""

    def __init__(self, *models: RegisteredModel) -> None:
        self.models = {(model.workspace, model.name): model for model in models}
        self.reads: list[str] = []
        self.broken: Exception | None = None

    def model(self, workspace: str, name: str) -> RegisteredModel:
        self.reads.append(name)
        self._raise_if_broken()
        if (workspace, name) not in self.models:
            raise NotFoundError(f"Registered Model with name={name} not found")
        return self.models[workspace, name]

    def many(self, workspace: str, names: Collection[str]) -> dict[str, RegisteredModel]:
        self._raise_if_broken()
        return {name: self.models[workspace, name] for name in names if (workspace, name) in self.models}

    def renamed_to(self, workspace: str, created_ms: int) -> str | None:
        self._raise_if_broken()
        models = [model for model in self.models.values() if model.workspace == workspace]
        names = [model.name for model in models if model.created_ms == created_ms]
        return names[0] if len(names) == 1 else None

    def add(self, name: str, *versions: int, created_ms: int = 1, workspace: str = DEFAULT_WORKSPACE) -> None:
        """Register a model with READY versions in no stage."""
        found = tuple(ModelVersion(number, "None", "READY", f"memory://{name}/{number}") for number in sorted(versions))
        self.put(RegisteredModel(workspace, name, created_ms, found))

    def put(self, model: RegisteredModel) -> None:
        """Register a model, or replace one."""
        self.models[model.workspace, model.name] = model

    def rename(self, name: str, new: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        """Rename a model, which keeps its creation time."""
        self.put(replace(self.models.pop((workspace, name)), name=new))

    def delete(self, name: str, workspace: str = DEFAULT_WORKSPACE) -> None:
        """Delete a model."""
        del self.models[workspace, name]

    def _raise_if_broken(self) -> None:
        if self.broken is not None:
            raise self.broken
