"""The runtime ``mlflow``: ``mlflow models serve`` exactly as shipped, under a guard."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE, start_guarded
from mlflow_serving_plugin.backends.isolation import in_bubblewrap, isolation_of, levels
from mlflow_serving_plugin.backends.probe import HttpProbe, Probe
from mlflow_serving_plugin.backends.runtime import refusal
from mlflow_serving_plugin.backends.sandbox import HOME, at_home, check_sandbox, sandboxed
from mlflow_serving_plugin.settings import Settings

_OLDEST_MLFLOW = "2.21"
"""The first version whose server is uvicorn, which can listen on a unix socket (``UVICORN_UDS``)."""


class Stock:
    """Starts stock servers."""

    protocol = "http"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def refuses(self, spec: WorkerSpec) -> str | None:
        """An MLflow whose server listens on TCP ports only."""
        return refusal(spec, oldest_mlflow=_OLDEST_MLFLOW, advice=" Set the runtime to native.")

    def start(
        self, spec: WorkerSpec, common: dict[str, object], address: Path
    ) -> tuple[int, subprocess.Popen[bytes] | None]:
        """Start the guard, and the server below it, in a session of their own."""
        command = stock_command(spec, self._settings.overdue_grace_s)
        sandboxed_here, extra = True, {"UVICORN_FD": "0"}
        if in_bubblewrap(spec):
            check_sandbox()
            command, extra = sandboxed(command, spec, os.environ), extra | at_home(HOME)
        elif plan := isolation_of(spec, address, self._settings, levels()):
            launch = [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "launch", json.dumps(plan), str(spec.model_dir)]
            command, extra = launch + command, extra | at_home(HOME if plan["namespaces"] else str(plan["scratch"]))
        else:
            sandboxed_here, extra = False, {"UVICORN_UDS": str(address)}
        process = start_guarded(command, spec, common, address, extra, sandboxed=sandboxed_here)
        return process.pid, process

    def probe(self, address: str) -> Probe:
        """By HTTP on the unix socket."""
        return HttpProbe(address)


def stock_command(spec: WorkerSpec, overdue_grace_s: float) -> list[str]:
    """``mlflow models serve`` exactly as shipped; ``UVICORN_UDS`` in its environment names the socket.

    Its own request timeout lies behind the gateway's, so that the gateway can tell a prediction that ends
    late from one that does not end.
    """
    timeout = math.ceil(spec.settings.request_timeout_s + overdue_grace_s) + 1
    return [
        *(spec.environment.python, "-m", "mlflow", "models", "serve"),
        *("--model-uri", str(spec.model_dir)),
        # The environment has been built already.
        *("--env-manager", "local"),
        *("--timeout", str(timeout)),
        *("--workers", "1"),
    ]
