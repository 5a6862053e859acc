"""A command under a guard, as the head of a session of its own: see ``worker/guard.py``."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE


def start_guarded(
    command: list[str], config: Mapping[str, object], *, cwd: Path, env: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start the guard, and it the command. The environment is that of both."""
    return subprocess.Popen(
        [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "guard", json.dumps(config), *command],
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
