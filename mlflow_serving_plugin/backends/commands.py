"""What a worker is started with: command line and environment. Pure."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec

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
"""Model code is somebody else's: of the server's environment it gets these, and ``LC_*``, and nothing else."""

_OF_THE_SERVERS_PYTHON = frozenset({"VIRTUAL_ENV", "CONDA_PREFIX"})
"""Would tell another interpreter's libraries that they are somewhere else."""


def stock_command(spec: WorkerSpec, overdue_grace_s: float) -> list[str]:
    """``mlflow models serve`` exactly as shipped; ``UVICORN_UDS`` in its environment names the socket.

    Its own request timeout lies behind the gateway's, so that the gateway can tell a prediction that ends
    late from one that does not end.
    """
    timeout = math.ceil(spec.settings.request_timeout_s + overdue_grace_s) + 1
    return [
        *(spec.environment.python, "-m", "mlflow", "models", "serve"),
        *("--model-uri", str(spec.model_dir)),
        # It is there already, whoever built it.
        *("--env-manager", "local"),
        *("--timeout", str(timeout)),
        *("--workers", "1"),
    ]


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
