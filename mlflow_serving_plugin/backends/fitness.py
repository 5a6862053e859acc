"""Whether a runtime can serve in an environment at all, said before anything is started. Pure."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec

OLDEST_PYTHON = Version("3.8")
OLDEST_MLFLOW = Version("1.20")
OLDEST_STOCK = Version("2.21")
"""The first whose own server is uvicorn, which listens on a unix socket when its environment says so."""


def check_environment(spec: WorkerSpec) -> None:
    """WorkerFailedError, with what to do about it, when the spec's runtime is none for its environment."""
    environment = spec.environment
    if spec.settings.network == spec.settings.sandbox == "off":
        raise WorkerFailedError("The network can be off only in the sandbox. Set the endpoint's sandbox to auto or on.")
    python, mlflow = _version(environment.python_version), _version(environment.mlflow_version)
    if mlflow is None:
        raise WorkerFailedError("The model's environment has no MLflow. Add mlflow to the model's requirements.")
    if spec.settings.runtime == "mlflow" and mlflow < OLDEST_STOCK:
        raise WorkerFailedError(
            f"The model pins MLflow {mlflow}; the runtime 'mlflow' needs {OLDEST_STOCK} or later. Set it to native."
        )
    if spec.settings.runtime == "native" and python is not None and python < OLDEST_PYTHON:
        raise WorkerFailedError(f"The model pins Python {python}; the native runtime needs {OLDEST_PYTHON} or later.")
    if spec.settings.runtime == "native" and mlflow < OLDEST_MLFLOW:
        raise WorkerFailedError(f"The model pins MLflow {mlflow}; the native runtime needs {OLDEST_MLFLOW} or later.")


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
