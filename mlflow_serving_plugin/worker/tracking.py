"""MLflow's tracking store within a worker: none, unless the endpoint's variables or the model's code set one.

Without a tracking URI, MLflow makes a database in the current directory, which is the model's, and in the sandbox waits
for a directory that it can write to. So workers get a URI that every MLflow version refuses at once, and quotes: calls
that need a store fail, and MLflow drops traces.
"""

from __future__ import annotations

import os

TRACKING_URI = "MLFLOW_TRACKING_URI"
NO_TRACKING_SERVER = "no-tracking-server://set-environment.MLFLOW_TRACKING_URI"


def note() -> str:
    """What the log says when a worker starts without a tracking server; else nothing."""
    if os.environ.get(TRACKING_URI) != NO_TRACKING_SERVER:
        return ""
    return f" No tracking server: the model's traces are dropped. To keep them, set environment.{TRACKING_URI}."
