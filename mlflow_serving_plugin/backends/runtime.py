"""What a runtime is to the local backend: one way to serve a model in a process of this host."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.probe import Probe


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
