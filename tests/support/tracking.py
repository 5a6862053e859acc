"""MLflow's fluent API at a server, for the length of a test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import mlflow

_VARIABLE = "MLFLOW_TRACKING_URI"


@contextlib.contextmanager
def tracking_at(uri: str) -> Iterator[None]:
    """Set MLflow's tracking URI and put everything back: MLflow's own setter sets the process's environment too."""
    before = os.environ.get(_VARIABLE)
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(None)
        if before is not None:
            os.environ[_VARIABLE] = before
