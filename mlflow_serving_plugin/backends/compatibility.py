"""Whether a runtime can serve in an environment, checked before a worker is started. Pure."""

from __future__ import annotations

from packaging.version import InvalidVersion, Version

from mlflow_serving_plugin.backends.base import WorkerSpec


def refusal(spec: WorkerSpec, *, oldest_mlflow: str, oldest_python: str = "0", advice: str = "") -> str | None:
    """Why a runtime cannot serve in the spec's environment, with what to do about it; None when it can."""
    runtime = f"the runtime '{spec.settings.runtime}'"
    python, mlflow = _version(spec.environment.python_version), _version(spec.environment.mlflow_version)
    if mlflow is None:
        return "The model's environment has no MLflow. Add mlflow to the model's requirements."
    if python is not None and python < Version(oldest_python):
        return f"The model pins Python {python}; {runtime} needs {oldest_python} or later."
    if mlflow < Version(oldest_mlflow):
        return f"The model pins MLflow {mlflow}; {runtime} needs {oldest_mlflow} or later.{advice}"
    return None


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
