"""One controller per host: each web worker stands by, and the web worker that holds the lock leads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from filelock import FileLock, Timeout

from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.controller.controller import Controller, StateLostError
from mlflow_serving_plugin.host.locks import Presence
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import retire

_logger = logging.getLogger(__name__)
_STAND_BY_S = 0.5
_AFTER_ERROR_S = 2.0
_LEAVE_S = 20.0


class Candidate:
    """One web worker's part in running the controller. ``start`` and ``stop`` once each."""

    def __init__(
        self, paths: StatePaths, make_controller: Callable[[], Controller], make_backend: Callable[[], Backend]
    ) -> None:
        self._paths = paths
        self._make_controller = make_controller
        self._make_backend = make_backend
        self._stop = threading.Event()
        self._controller: Controller | None = None
        self._presence = Presence(paths.lock("web"))
        self._thread = threading.Thread(target=self._run, name="serving controller", daemon=True)

    def start(self) -> None:
        """Begin to stand by."""
        self._thread.start()

    def stop(self) -> None:
        """Stop leading or standing by. The last web worker to stop ends all model workers."""
        self._stop.set()
        controller = self._controller
        if controller is not None:
            controller.wake()
        self._thread.join(_LEAVE_S)
        if self._presence.leave():
            self._end_workers()

    def _run(self) -> None:
        lock = FileLock(self._paths.lock("leader"))
        while not self._stop.is_set():
            try:
                with lock.acquire(timeout=0):
                    self._lead()
            except Timeout:
                self._stop.wait(_STAND_BY_S)
            except StateLostError:
                # The workers end by themselves, because nobody has a record of them any more.
                _logger.warning("The state directory was removed or replaced: it is made anew, and workers start anew.")
            except Exception:
                _logger.exception("The serving controller failed; another try follows.")
                self._stop.wait(_AFTER_ERROR_S)

    def _lead(self) -> None:
        self._paths.make()
        controller = self._make_controller()
        self._controller = controller
        try:
            controller.run(self._stop)
        finally:
            self._controller = None

    def _end_workers(self) -> None:
        try:
            with FileLock(self._paths.lock("leader"), timeout=_LEAVE_S):
                backend = self._make_backend()
                backend.adopt()
                threads = [
                    threading.Thread(target=backend.stop, args=(worker.worker_id,), daemon=True)
                    for worker in backend.observe()
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join(_LEAVE_S)
                backend.retain(())
                # Of a server that is not running, nothing is ready.
                retire(self._paths.routes, self._paths.routes_at_stop)
        except Timeout:
            _logger.warning("Model workers were left to end by themselves: another controller holds the host.")
