"""What the control APIs need of the rest of the server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flask import Flask

from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.diagnosis.base import Finding
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.history import HistoryReader
from mlflow_serving_plugin.operations.endpoints import EndpointOperations
from mlflow_serving_plugin.operations.serving import ServingOperations
from mlflow_serving_plugin.operations.tokens import TokenOperations
from mlflow_serving_plugin.settings import Settings


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """What the control APIs are given. ``static_prefix`` is MLflow's ``--static-prefix``, or empty."""

    settings: Settings
    paths: StatePaths
    snapshot: SnapshotReader
    access: Access
    endpoints: EndpointOperations
    tokens: TokenOperations
    serving: ServingOperations
    metrics: Metrics
    history: HistoryReader
    static_prefix: str
    secure: Callable[[Flask], None]
    """Installs MLflow's host and cross-origin checks on the app; nothing where this MLflow has none."""
    diagnose: Callable[[], list[Finding]] = list
    """Looks for what is wrong with this server and its machine; takes seconds."""
    workspaces: bool = False
    """Whether the server has workspaces."""
    browser_rules: BrowserRules | None = None
    """Which pages may change something; None: the server runs without such checks."""
