"""Served versions: their states, aliases, replicas and input examples."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import read_fields
from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.host.memory import taken_by
from mlflow_serving_plugin.registry.examples import accepted_example
from mlflow_serving_plugin.registry.samples import sample_request


def list_versions(context: Context) -> dict[str, Any]:
    """The served versions, newest first."""
    served = context.served(read_fields(requests.MODEL))
    if context.base.v2:
        return {"endpoint_statuses": [shapes.endpoint_version_v2(version) for version in served.versions]}
    figures = context.figures()
    return {"endpoint_versions": [shapes.endpoint_version(version, served, figures) for version in served.versions]}


def get_version_status(context: Context) -> dict[str, Any]:
    """One version's state, in the shape of ``endpoints-v2`` under either family."""
    _, version = context.version(read_fields(requests.VERSION))
    return {"endpoint_status": shapes.endpoint_version_v2(version)}


def list_version_aliases(context: Context) -> dict[str, Any]:
    """Which version answers for each stage and alias."""
    return {"aliases": shapes.aliases(context.served(read_fields(requests.MODEL)))}


def get_version_replicas(context: Context) -> dict[str, Any]:
    """The workers of one version on this host."""
    _, version = context.version(read_fields(requests.VERSION))
    taken = taken_by({worker.worker_id: worker.pid for worker in version.workers if worker.pid is not None})
    memory = {worker_id: found.total for worker_id, found in taken.items()}
    return {"replicas": [shapes.replica(worker, memory.get(worker.worker_id)) for worker in version.workers]}


def get_sample_request(context: Context) -> dict[str, Any]:
    """A request that one version takes: its own example, or one made from its signature; null while there is none."""
    _, version = context.version(read_fields(requests.VERSION))
    sample = sample_request(Path(version.model_dir), version.example_form) if version.model_dir else None
    return {"sample": None if sample is None else asdict(sample)}


def get_input_example(context: Context) -> dict[str, Any]:
    """The input example that was logged with one version, as a scoring request."""
    served, version = context.version(read_fields(requests.VERSION))
    example = accepted_example(Path(version.model_dir), version.example_form) if version.model_dir else None
    if example is None:
        reason = "has not been fetched yet" if version.model_dir is None else "has no input example"
        reason = "refuses its own input example" if version.example_form is None else reason
        raise NotFoundError(f"Version {version.name} of registered model '{served.endpoint.name}' {reason}.")
    return {"input_example": example.body.decode(errors="replace"), "content_type": example.content_type}
