"""The runtime ``mlflow``: ``mlflow models serve`` exactly as shipped, under a guard."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from mlflow_serving_plugin.backends import commands
from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE

PROTOCOL = "http"


def start(
    spec: WorkerSpec, common: dict[str, object], address: Path, overdue_grace_s: float
) -> subprocess.Popen[bytes]:
    """Start the guard, and the server below it, in a session of their own. ``common``: see ``worker/guard.py``."""
    config = {**common, "socket": str(address)}
    return subprocess.Popen(
        [
            *(sys.executable, "-I", "-S", str(WORKER_PACKAGE), "guard", json.dumps(config)),
            *commands.stock_command(spec, overdue_grace_s),
        ],
        cwd=spec.model_dir.parent,
        env=commands.worker_environment(
            os.environ, spec.settings.environment, {"UVICORN_UDS": str(address)}, spec.environment.python
        ),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
