"""What a runtime is to the local backend: one way to serve a model in a process of this host."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Protocol

from packaging.version import InvalidVersion, Version

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.probe import Probe
from mlflow_serving_plugin.settings import Settings

_QUOTES_ERROR = re.compile(r"\b[A-Z]\w*(?:Error|Exception)\b")


class Runtime(Protocol):
    """One way to serve. A new one is a file beside ``native`` and ``stock``, and a line in ``local``."""

    protocol: str
    """What its workers speak: ``frames`` or ``http``."""

    def refuses(self, spec: WorkerSpec) -> str | None:
        """Why the runtime cannot serve in the spec's environment, for a person; None when it can."""

    def start(
        self, spec: WorkerSpec, common: dict[str, object], address: Path
    ) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Start a worker that will listen at ``address``; its pid, and its process when that is a child of ours.

        ``common``: the configuration of every worker, see ``worker/guard.py``. WorkerFailedError when the start fails.
        """

    def probe(self, address: str) -> Probe:
        """The probe of a worker."""


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


def never(spec: WorkerSpec, settings: Settings) -> str:
    """Why no runtime of this server can serve a spec, for a person; empty when one may."""
    if spec.settings.sandbox == "off" and spec.settings.network == "off":
        return "The network can be off only in the sandbox. Set the endpoint's sandbox to auto."
    if spec.settings.placement == "ray" and settings.backend != "ray":
        return "The placement ray needs a server with MLFLOW_SERVING_BACKEND=ray."
    return ""


def with_versions(reason: str, spec: WorkerSpec) -> str:
    """A reason that quotes an error, with the library's versions where the model was logged with another one.

    A pickle may load in the library's own version only, and then the error speaks of anything but versions.
    """
    logged_with = spec.recipe.logged_with if spec.recipe is not None else ()
    library = next((found for found in logged_with if found[0] not in {"Python", "MLflow"}), None)
    if library is None or not _QUOTES_ERROR.search(reason):
        return reason
    name, logged = library
    here = spec.environment.version_of(name)
    if not here or here == logged:
        return reason
    auto = "" if spec.settings.env_manager == "auto" else "set env_manager to auto, or "
    advice = f"{auto}pin {name}=={logged} in the model's requirements"
    return f"{reason.rstrip('.')}. The model was logged with {name} {logged}, here {here}: {advice}."


def _version(text: str) -> Version | None:
    try:
        return Version(text)
    except InvalidVersion:
        return None
