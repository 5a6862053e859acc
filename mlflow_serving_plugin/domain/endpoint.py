"""An endpoint: a registered model with serving enabled, or a serving endpoint with entities of its own."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.serving import ServingSpec

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What is served under one name. ``id`` survives a rename of the registered model.

    ``spec`` None: a registered model with serving enabled, of which all active versions are served as ``config`` says.
    """

    id: str
    workspace: str
    name: str
    config: EndpointConfig
    model_created_ms: int
    """The registered model's creation time: how a renamed model is recognised."""
    generation: int = 0
    """Grows with each change that somebody asked for: a snapshot of a lower generation knows nothing of the change."""
    spec: ServingSpec | None = None
