"""An endpoint: a registered model with serving enabled, and how it is to be served."""

from __future__ import annotations

from dataclasses import dataclass

from mlflow_serving_plugin.domain.config import EndpointConfig

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered model with serving enabled. ``id`` survives a rename of the model."""

    id: str
    workspace: str
    name: str
    config: EndpointConfig
    model_created_ms: int
    """The registered model's creation time: how a renamed model is recognised."""
    generation: int = 0
    """Grows with each change that somebody asked for: a snapshot of a lower generation knows nothing of the change."""
