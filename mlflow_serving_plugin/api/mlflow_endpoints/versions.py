"""Served versions: their states, aliases, replicas and input examples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import read_fields
from mlflow_serving_plugin.domain.routes import EntityRoute
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.host.processes import memory_bytes
from mlflow_serving_plugin.operations.endpoints import Served
from mlflow_serving_plugin.registry.examples import scoring_example


class VersionViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes, relative to the base path."""
        blueprint.add_url_rule("/list-versions", view_func=self.list_versions)
        blueprint.add_url_rule("/get-version-status", view_func=self.get_version_status)
        blueprint.add_url_rule("/list-version-aliases", view_func=self.list_version_aliases)
        blueprint.add_url_rule("/get-version-replicas", view_func=self.get_version_replicas)
        if self._context.base.ajax:
            blueprint.add_url_rule("/get-input-example", view_func=self.get_input_example)

    def list_versions(self) -> dict[str, Any]:
        """The served versions, newest first."""
        served = self._context.served(read_fields(request, requests.MODEL))
        if self._context.base.v2:
            return {"endpoint_statuses": [shapes.endpoint_version_v2(version) for version in served.versions]}
        return {"endpoint_versions": [shapes.endpoint_version(version) for version in served.versions]}

    def get_version_status(self) -> dict[str, Any]:
        """One version's state, in the shape of ``endpoints-v2`` under either family."""
        _, version = self._version()
        return {"endpoint_status": shapes.endpoint_version_v2(version)}

    def list_version_aliases(self) -> dict[str, Any]:
        """Which version answers for each stage and alias."""
        served = self._context.served(read_fields(request, requests.MODEL))
        return {"aliases": shapes.aliases(served)}

    def get_version_replicas(self) -> dict[str, Any]:
        """The workers of one version on this host."""
        _, version = self._version()
        return {"replicas": [shapes.replica(worker, memory_bytes(worker.pid)) for worker in version.workers]}

    def get_input_example(self) -> dict[str, Any]:
        """The input example that was logged with one version, as a scoring request."""
        served, version = self._version()
        example = scoring_example(Path(version.model_dir)) if version.model_dir else None
        if example is None:
            reason = "has no input example" if version.model_dir else "has not been fetched yet"
            raise NotFoundError(f"Version {version.name} of registered model '{served.endpoint.name}' {reason}.")
        return {"input_example": example.body.decode(errors="replace"), "content_type": example.content_type}

    def _version(self) -> tuple[Served, EntityRoute]:
        fields = read_fields(request, requests.VERSION)
        served = self._context.served(fields)
        return served, served.version(fields["endpoint_version_name"])
