"""Keeps the gRPC server of this host running: a process of its own, started by one of the web workers.

The process ends with its web worker, however that ends: its standard input is a pipe that the kernel closes then.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import subprocess
import sys
import threading

from filelock import FileLock, Timeout

from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)
_STAND_BY_S = 0.5
_AGAIN_S = 2.0
_MORE_S = 5.0
_NEEDED = ("grpc", "grpc_health", "grpc_reflection")


def require_grpc(settings: Settings) -> None:
    """ConfigurationError when gRPC is switched on and cannot be served."""
    if not settings.grpc_port:
        return
    if any(importlib.util.find_spec(name) is None for name in _NEEDED):
        raise ConfigurationError("MLFLOW_SERVING_GRPC_PORT needs: pip install 'mlflow-serving-plugin[grpc]'")
    if bool(settings.grpc_certificate_file) != bool(settings.grpc_key_file):
        raise ConfigurationError(
            "TLS needs both MLFLOW_SERVING_GRPC_CERTIFICATE_FILE and MLFLOW_SERVING_GRPC_KEY_FILE."
        )
    for name in ("grpc_certificate_file", "grpc_key_file"):
        file = getattr(settings, name)
        if file and not os.access(file, os.R_OK):
            raise ConfigurationError(f"MLFLOW_SERVING_{name.upper()} names no file that this server can read.")


class GrpcService:
    """One web worker's part in it: stands by until no other web worker keeps the process."""

    def __init__(self, settings: Settings, paths: StatePaths) -> None:
        self._grace_s = settings.stop_grace_s + _MORE_S
        self._lock = paths.lock("grpc")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving grpc", daemon=True)

    def start(self) -> None:
        """Begin to stand by."""
        self._thread.start()

    def stop(self) -> None:
        """End the process, once its calls have ended or their time is over."""
        self._stop.set()
        self._thread.join(self._grace_s)

    def _run(self) -> None:
        lock = FileLock(self._lock)
        while not self._stop.is_set():
            try:
                with lock.acquire(timeout=0):
                    self._keep()
            except Timeout:
                self._stop.wait(_STAND_BY_S)
            except OSError as error:
                _logger.warning("The gRPC server cannot be started: %s", error.strerror)
                self._stop.wait(_AGAIN_S)

    def _keep(self) -> None:
        command = [sys.executable, "-m", "mlflow_serving_plugin.grpc_main"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            while process.poll() is None and not self._stop.wait(_STAND_BY_S):
                pass
        finally:
            with contextlib.suppress(OSError):
                process.stdin.close()  # type: ignore[union-attr]
            process.terminate()
            try:
                process.wait(self._grace_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if not self._stop.is_set():
            _logger.warning("The gRPC server ended with exit code %s; another is started.", process.returncode)
            self._stop.wait(_AGAIN_S)
