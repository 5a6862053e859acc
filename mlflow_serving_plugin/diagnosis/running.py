"""The diagnosis of a server that runs, from within one of its web workers."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from mlflow_serving_plugin.diagnosis.base import Finding, Place
from mlflow_serving_plugin.diagnosis.checks import diagnose
from mlflow_serving_plugin.registry import mlflow_server
from mlflow_serving_plugin.settings import Settings

_FRESH_S = 5.0
_one_at_a_time = threading.Lock()
_last: tuple[float, list[Finding]] | None = None


def diagnose_running(settings: Settings, state_dir: Path) -> list[Finding]:
    """What all checks find. Callers who ask at the same time, or right after each other, get one answer."""
    global _last  # noqa: PLW0603 - of this web worker
    with _one_at_a_time:
        if _last is None or time.monotonic() - _last[0] > _FRESH_S:
            place = Place(
                settings,
                os.environ,
                mlflow_server.backend_store_uri(),
                mlflow_server.artifacts_destination(),
                state_dir,
            )
            found = diagnose(place)
            _last = time.monotonic(), found
        return _last[1]
