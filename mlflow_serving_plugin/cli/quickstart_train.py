"""Run by the quickstart as a process: trains two iris models and registers them at the tracking server.

``python -m mlflow_serving_plugin.cli.quickstart_train URL``; it imports MLflow and trains while the server starts.
"""

from __future__ import annotations

import sys
import time
import urllib.error
import urllib.request
from typing import Any

MODEL = "iris"
STAGE = "Production"
ALIAS = "champion"

_REGULARISATIONS = (1.0, 0.01)
_EXAMPLE_ROWS = (0, 149)
_SERVER_DEADLINE_S = 300


def main(uri: str) -> None:
    """Leave ``iris`` with version 1 in stage Production and alias ``champion`` on version 2."""
    import mlflow
    from sklearn.datasets import load_iris  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    iris = load_iris(as_frame=True)
    species = iris.target_names[iris.target]
    models = [LogisticRegression(C=c, max_iter=1000).fit(iris.data, species) for c in _REGULARISATIONS]
    example = iris.data.iloc[list(_EXAMPLE_ROWS)]
    _wait_for_server(uri)
    mlflow.set_tracking_uri(uri)
    client = mlflow.MlflowClient()
    present = len(client.search_model_versions(f"name='{MODEL}'"))
    for model in models[present:]:
        _register(model, example)
    client.transition_model_version_stage(MODEL, "1", STAGE)
    client.set_registered_model_alias(MODEL, ALIAS, "2")


def _register(model: Any, example: Any) -> None:
    import mlflow
    import pandas
    import sklearn  # type: ignore[import-untyped]
    from mlflow.models import infer_signature

    with mlflow.start_run():
        mlflow.log_param("C", model.C)
        mlflow.sklearn.log_model(
            model,
            name="model",
            input_example=example,
            signature=infer_signature(example, model.predict(example)),
            # Without these, MLflow would load the model in another process to infer them.
            pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"pandas=={pandas.__version__}"],
            registered_model_name=MODEL,
        )


def _wait_for_server(uri: str) -> None:
    deadline = time.monotonic() + _SERVER_DEADLINE_S
    while True:
        try:
            with urllib.request.urlopen(f"{uri}/health", timeout=5):  # noqa: S310 - http, from the quickstart
                return
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


if __name__ == "__main__":
    main(sys.argv[1])
