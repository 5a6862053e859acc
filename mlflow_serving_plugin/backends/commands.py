"""Starts commands of workers: with which variables, and under a guard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.caches import cache_variables
from mlflow_serving_plugin.backends.threads import thread_variables
from mlflow_serving_plugin.worker.tracking import NO_TRACKING_SERVER, TRACKING_URI

WORKER_PACKAGE = Path(__file__).parent.parent / "worker"
"""Started as ``<python> <this directory> …``."""

_PASSED_ON = frozenset(
    {
        *("HOME", "LANG", "LANGUAGE", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"),
        *("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "JAVA_HOME"),
        *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
        *("CUDA_HOME", "CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
        *("MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    }
)
"""The variables of the server that a model's code gets, and ``LC_*``: the code is not ours to trust."""

_OF_THE_SERVERS_PYTHON = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX"})
"""Passed on to the server's own interpreter only: they would mislead the libraries of another."""


def model_variables(spec: WorkerSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of a model: those of its endpoint, threads, cache, and a tracking URI in any case.

    With ``tracking: on`` the server's, which nothing replaces.
    """
    threads = thread_variables(spec.settings, spec.replicas, environ)
    own = {**threads, **cache_variables(spec), **spec.settings.environment}
    return {TRACKING_URI: NO_TRACKING_SERVER, **own, **spec.tracking}


def worker_environment(
    environ: Mapping[str, str], own: Mapping[str, str], extra: Mapping[str, str], python: str = sys.executable
) -> dict[str, str]:
    """The variables of a worker: an allow-list of the server's, the endpoint's ``own``, and ours.

    ``python``: the interpreter that it runs on.
    """
    allowed = _PASSED_ON | _OF_THE_SERVERS_PYTHON if python == sys.executable else _PASSED_ON
    passed_on = {name: value for name, value in environ.items() if name in allowed or name.startswith("LC_")}
    # `mlflow models serve` runs `uvicorn` by name; it stands beside the interpreter.
    path = os.pathsep.join([str(Path(python).parent), passed_on.get("PATH", os.defpath)])
    return {
        **passed_on,
        **own,
        "PATH": path,
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        **extra,
    }


def start_guarded(
    command: list[str],
    spec: WorkerSpec,
    common: Mapping[str, object],
    address: Path,
    extra: Mapping[str, str],
    *,
    sandboxed: bool,
) -> subprocess.Popen[bytes]:
    """Start a guard, and a worker's command below it: see ``worker/guard.py``. Both get the ``extra`` variables."""
    config = {**common, "socket": str(address), "sandboxed": sandboxed}
    guard = [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "guard", json.dumps(config)]
    own = model_variables(spec, os.environ)
    env = worker_environment(os.environ, own, extra, spec.environment.python)
    return start_session([*guard, *command], cwd=spec.model_dir.parent, env=env)


def start_session(command: list[str], *, cwd: Path, env: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a command as the head of a session of its own, with no input and no output."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
