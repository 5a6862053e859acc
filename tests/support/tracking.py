"""MLflow's fluent API at a server, for the length of a test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import mlflow
from mlflow.tracking import fluent

_VARIABLES = ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_ID")


@contextlib.contextmanager
def tracking_at(uri: str) -> Iterator[None]:
    """Set MLflow's tracking URI and put all back: MLflow's setters of URI and experiment set the environment too."""
    before = {name: os.environ.pop(name, None) for name in _VARIABLES}
    experiment, fluent._active_experiment_id = fluent._active_experiment_id, None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        fluent._active_experiment_id = experiment
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
