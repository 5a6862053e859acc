"""The runtime ``mlflow``: ``mlflow models serve`` exactly as shipped, under a guard."""

from __future__ import annotations

import math
import os
import subprocess
from pathlib import Path

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import start_guarded
from mlflow_serving_plugin.backends.probe import HttpProbe, Probe
from mlflow_serving_plugin.backends.runtime import refusal
from mlflow_serving_plugin.backends.sandbox import HOME, check_sandbox, sandboxed, without_bubblewrap
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
        extra = {"UVICORN_UDS": str(address)}
        sandboxed_here = self._sandboxed(spec)
        if sandboxed_here:
            command = sandboxed(command, spec, os.environ)
            extra = {"UVICORN_FD": "0", "HOME": HOME, "TMPDIR": HOME}
        process = start_guarded(command, spec, common, address, extra, sandboxed=sandboxed_here)
        return process.pid, process

    def sandbox_of(self, spec: WorkerSpec) -> str:
        """Bubblewrap, or nothing."""
        return "bubblewrap" if self._sandboxed(spec) else "none, because bubblewrap is not installed or does not work"

    def _sandboxed(self, spec: WorkerSpec) -> bool:
        """Whether a worker runs in bubblewrap; WorkerFailedError when it has to and cannot."""
        if spec.settings.sandbox == "off":
            return False
        if spec.settings.sandbox == "on":
            check_sandbox()
        return not without_bubblewrap()

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
