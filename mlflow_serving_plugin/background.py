"""What runs beside the requests in one web worker, from its first request to its end."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_serving_plugin.controller.leader import Candidate
    from mlflow_serving_plugin.host.paths import StatePaths
    from mlflow_serving_plugin.metrics.counting import Metrics
    from mlflow_serving_plugin.settings import Settings
    from mlflow_serving_plugin.store.store import Store

_LOOK_S = 0.05


@dataclass
class WebWorkerParts:
    """What runs beside the requests in one web worker: its candidacy for the controller."""

    settings: Settings
    paths: StatePaths
    store: Store
    metrics: Metrics

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._stopping = threading.Lock()
        self._pid: int | None = None
        self._candidate: Candidate | None = None

    def ensure_started(self) -> None:
        """Start, unless this very process has."""
        if self._pid == os.getpid():
            return
        with self._lock:
            if self._pid != os.getpid():
                self._candidate = self._make_candidate()
                self._candidate.start()
                self._pid = os.getpid()

    def stop(self) -> None:
        """Stop; the last web worker of the host ends the model workers. Again is fine, and waits for the first."""
        with self._stopping:
            with self._lock:
                candidate, self._candidate = self._candidate, None
            if candidate is not None and self._pid == os.getpid():
                candidate.stop()
            self.metrics.flush()

    def stop_at_exit(self) -> None:
        """Stop when this process ends, unless the server tells its app so before."""
        # Run in reverse: with MLflow's heap out of its sight, the collector's last round takes no seconds.
        atexit.register(gc.freeze)
        atexit.register(self.stop)
        if _handler() is signal.SIG_DFL:
            # waitress does not handle SIGTERM, and Python would end without its exit handlers.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))

    def stop_early(self, busy: Callable[[], bool]) -> None:
        """On SIGTERM, stop once nothing is being scored, whatever else the web server waits for.

        A threaded gunicorn worker (23 to 26) waits for the idle connections of clients until gunicorn kills it, and
        its exit handlers are never run.
        """
        handler = _handler()
        if callable(handler):
            signal.signal(signal.SIGTERM, partial(self._hand_on, handler, busy))

    def _hand_on(self, handler: Callable[[int, Any], Any], busy: Callable[[], bool], number: int, frame: Any) -> None:
        def stop() -> None:
            while busy():
                time.sleep(_LOOK_S)
            self.stop()

        threading.Thread(target=stop, name="serving-stop", daemon=True).start()
        handler(number, frame)

    def _make_candidate(self) -> Candidate:
        from mlflow_serving_plugin.backends.local import LocalBackend
        from mlflow_serving_plugin.controller.controller import Controller
        from mlflow_serving_plugin.controller.deps import ControllerDeps
        from mlflow_serving_plugin.controller.leader import Candidate
        from mlflow_serving_plugin.environments.environments import Environments
        from mlflow_serving_plugin.registry import mlflow_server
        from mlflow_serving_plugin.registry.examples import scoring_example
        from mlflow_serving_plugin.registry.reader import RegistryReader
        from mlflow_serving_plugin.registry.workspaces import in_workspace

        def backend() -> LocalBackend:
            return LocalBackend(self.settings, self.paths)

        def controller() -> Controller:
            return Controller(
                ControllerDeps(
                    settings=self.settings,
                    paths=self.paths,
                    store=self.store,
                    registry=RegistryReader(mlflow_server.registry_store, in_workspace),
                    backend=backend(),
                    environments=Environments(self.settings, self.paths.environments),
                    download=mlflow_server.download_model_version,
                    example=scoring_example,
                    metrics=self.metrics,
                )
            )

        return Candidate(self.paths, controller, backend)


def _handler() -> Any:
    """What SIGTERM does now; None where only the main thread could change it."""
    main = threading.current_thread() is threading.main_thread()
    return signal.getsignal(signal.SIGTERM) if main else None
