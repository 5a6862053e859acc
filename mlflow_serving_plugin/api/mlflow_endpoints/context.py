"""What the views of one base path work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, current_workspace
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.metrics.figures import Figures, figures_of
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.operations.endpoints import EndpointOperations, Served


@dataclass(frozen=True, slots=True)
class BasePath:
    """One base path. ``v2``: replies have the ``endpoints-v2`` shapes. ``ajax``: called by pages in a browser."""

    path: str
    v2: bool
    ajax: bool


@dataclass(frozen=True, slots=True)
class Context:
    """The server's operations, and the base path that decides the shape of the replies."""

    deps: ApiDeps
    base: BasePath

    @property
    def endpoints(self) -> EndpointOperations:
        """The operations behind the views."""
        return self.deps.endpoints

    def caller(self) -> User:
        """The sender of the request; UnauthenticatedError without valid credentials."""
        return caller_of(self.deps.access)

    def served(self, fields: dict[str, Any]) -> Served:
        """The endpoint that the request names; NotEnabledError."""
        return self.endpoints.describe(self.caller(), current_workspace(), fields["registered_model_name"])

    def figures(self) -> Mapping[tuple[str, str], Figures]:
        """What this host has counted, by endpoint id and version."""
        self.deps.metrics.flush()
        return figures_of(read_totals(self.deps.paths.metrics, workers=False))

    def version(self, fields: dict[str, Any]) -> tuple[Served, EntityRoute]:
        """The endpoint and the version that the request names; NotEnabledError, NotFoundError."""
        served = self.served(fields)
        return served, served.version(fields["endpoint_version_name"])
