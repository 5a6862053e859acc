"""Keeps one writer running on the host while there is something to write: of all web workers, the one with the lock."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from pathlib import Path

from filelock import FileLock, Timeout

from mlflow_serving_plugin.request_log.tally import SUFFIX

_logger = logging.getLogger(__name__)

_LOOK_S = 2.0
_LAST_ROUND_S = 15.0
_AFTER_FAILURE_S = 30.0


class WriterKeeper:
    """One web worker's part in that. ``start`` and ``stop`` once each."""

    def __init__(self, directory: Path, metrics: Path, lock: Path) -> None:
        self._directory = directory
        self._metrics = metrics
        self._lock = lock
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="serving request log writer", daemon=True)

    def start(self) -> None:
        """Begin to stand by."""
        self._thread.start()

    def stop(self) -> None:
        """Have the writer of this web worker end after a last round."""
        self._stop.set()
        self._thread.join(_LAST_ROUND_S + _LOOK_S)

    def _run(self) -> None:
        lock = FileLock(self._lock)
        while not self._stop.wait(_LOOK_S):
            if not self._is_needed():
                continue
            try:
                with lock.acquire(timeout=0):
                    self._keep()
            except Timeout:
                continue
            except OSError as error:
                _logger.warning("The writer of the request log cannot start: %s", error)
                self._stop.wait(_AFTER_FAILURE_S)

    def _is_needed(self) -> bool:
        """Whether something was ever logged; what is old has to be removed, too."""
        try:
            return any(path.suffix in (".segment", ".json", SUFFIX) for path in self._directory.iterdir())
        except OSError:
            return False

    def _keep(self) -> None:
        command = [sys.executable, "-m", "mlflow_serving_plugin.request_log", str(self._directory), str(self._metrics)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        try:
            while not self._stop.wait(_LOOK_S):
                if process.poll() is not None:
                    _logger.warning("The writer of the request log ended with status %d.", process.returncode)
                    self._stop.wait(_AFTER_FAILURE_S)
                    return
        finally:
            if process.stdin is not None:
                process.stdin.close()
            try:
                process.wait(_LAST_ROUND_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
