"""An endpoint: a registered model with serving enabled, and how it is to be served."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_WORKSPACE = "default"


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """How an endpoint's versions are served. Limits and helps of each field: ``api/schemas.py``."""

    replicas: int = 1
    env_manager: str = "auto"
    runtime: str = "native"
    batching: str = "auto"
    max_batch_rows: int = 256
    request_timeout_s: float | None = None
    """None: the server's ``request_timeout_s``."""
    memory_limit_mb: int | None = None
    max_processes: int = 256
    max_open_files: int = 4096
    sandbox: str = "auto"
    network: str = "on"
    default_dialect: str = "modern"
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A registered model with serving enabled. ``id`` survives a rename of the model."""

    id: str
    workspace: str
    name: str
    config: EndpointConfig
    model_created_ms: int
    """The registered model's creation time: how a renamed model is recognised."""
