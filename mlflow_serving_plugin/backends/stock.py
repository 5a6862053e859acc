"""The runtime ``mlflow``: ``mlflow models serve`` exactly as shipped, under a guard."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from mlflow_serving_plugin.backends import commands
from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.guarded import start_guarded
from mlflow_serving_plugin.backends.sandbox import HOME, sandboxed

PROTOCOL = "http"


def start(
    spec: WorkerSpec, common: dict[str, object], address: Path, overdue_grace_s: float
) -> subprocess.Popen[bytes]:
    """Start the guard, and the server below it, in a session of their own. ``common``: see ``worker/guard.py``."""
    command = commands.stock_command(spec, overdue_grace_s)
    extra = {"UVICORN_UDS": str(address)}
    if spec.settings.sandbox == "on":
        command = sandboxed(command, spec, os.environ)
        extra = {"UVICORN_FD": "0", "HOME": HOME, "TMPDIR": HOME}
    return start_guarded(
        command,
        {**common, "socket": str(address), "sandboxed": spec.settings.sandbox == "on"},
        cwd=spec.model_dir.parent,
        env=commands.worker_environment(os.environ, spec.settings.environment, extra, spec.environment.python),
    )
