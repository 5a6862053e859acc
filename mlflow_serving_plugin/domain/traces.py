"""Traces that models make while they are served, on their way from the gateway to MLflow's tracking store."""

from __future__ import annotations

from typing import NamedTuple

MODEL, VERSION, ENDPOINT = "serving.model", "serving.version", "serving.endpoint"
"""Tags of a trace; of an experiment that the server has made, ENDPOINT."""

OF_THE_PROCESS = frozenset(
    {"mlflow.user", "mlflow.sourceRun", "mlflow.source.name", "mlflow.source.type", "mlflow.source.git.repoURL"}
)
"""What MLflow writes into a trace about the process that made it: the worker's paths and the server's user."""


class TraceRecord(NamedTuple):
    """One trace, as its worker wrote it: not to be trusted. ``experiment``: the name of the experiment it is for."""

    text: bytes
    experiment: str
    workspace: str
    endpoint_id: str
    endpoint: str
    entity: str
    """The entity's name within the endpoint."""
    model: str
    version: str
    client_request_id: str
    user: str | None


def default_experiment(endpoint: str) -> str:
    """The experiment of an endpoint whose configuration names none."""
    return f"serving/{endpoint}"
