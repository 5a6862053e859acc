"""Workers on the nodes of a Ray cluster, and on this host: Ray decides where, and gateways call the workers directly.

Ray carries no request. Its driver is a process of its own (``ray_process``); without Ray this backend still knows the
workers that it has seen, renews their lease through the relays of their nodes, and finds out which nodes are silent.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Collection
from contextlib import closing
from dataclasses import asdict
from multiprocessing.managers import BaseManager
from typing import Any

from mlflow_serving_plugin.backends.base import (
    Memory,
    WorkerFailedError,
    WorkerPhase,
    WorkerSpec,
    WorkerStatus,
)
from mlflow_serving_plugin.backends.far_workers import FarWorkers
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.backends.ray_nodes import Seen
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.throttled import Throttled
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.wire import WireError

_logger = logging.getLogger(__name__)
_POLL_S = 1.0
_MEETING_S = 0.1
_FIRST_S = 30.0
"""How long ``adopt`` waits for the workers of an earlier controller: a cluster that is away must not stop this host."""

_CONNECT_S = 5.0
_START_S = 60.0
_DRIVER = "import sys; from mlflow_serving_plugin.backends.ray_process import main; sys.exit(main())"


class _Manager(BaseManager):
    """This side of ``ray_process.DriverManager``."""


_Manager.register("cluster")


class RayBackend:
    """The local backend, and one beside it for workers elsewhere; see ``placement`` in an endpoint's configuration."""

    def __init__(self, settings: Settings, paths: StatePaths) -> None:
        self._settings = settings
        self._paths = paths
        self._local = LocalBackend(settings, paths)
        self._far = FarWorkers()
        self._driver: subprocess.Popen[bytes] | None = None
        self._cluster: Any = None
        self._away = "The Ray cluster has not answered yet."
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._looked = threading.Event()
        self._throttled = Throttled(_logger)

    def adopt(self) -> None:
        """Find the workers of an earlier controller, here and, while the cluster answers, elsewhere."""
        self._remove_sockets()
        self._local.adopt()
        threading.Thread(target=self._watch, name="Ray cluster", daemon=True).start()
        self._looked.wait(_FIRST_S)

    def launch(self, spec: WorkerSpec) -> None:
        """Start a worker here or elsewhere; WorkerFailedError."""
        if self._is_for_here(spec):
            self._local.launch(spec)
            return
        if spec.settings.runtime != "native":
            raise WorkerFailedError(
                "Only the runtime native runs on other hosts. Set the endpoint's runtime to native or its placement to "
                "local."
            )
        cluster = self._cluster
        if cluster is None:
            raise WorkerFailedError(f"{self._away} No worker can be started on other hosts.")
        try:
            worker: WorkerStatus = cluster.launch(spec)
        except (OSError, EOFError):
            raise WorkerFailedError("Ray was lost while the worker started.") from None
        try:
            with closing(FrameConnection(worker.address, _CONNECT_S, worker.secret)) as connection:
                connection.ping(_CONNECT_S)
        except (OSError, WireError) as error:
            self._end(worker, at_once=True)
            raise WorkerFailedError(
                f"The worker runs on a node that this host cannot reach ({type(error).__name__}). Open the ports of "
                "MLFLOW_SERVING_RAY_PORTS between this host and the nodes."
            ) from None
        self._far.add(worker)

    def observe(self) -> list[WorkerStatus]:
        """All workers. Of those elsewhere, what was seen last."""
        return [*self._local.observe(), *self._far.observe()]

    def memory(self) -> Memory:
        """Of this host."""
        return self._local.memory()

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        """End a worker and forget it. One whose node does not answer ends by its lease, which nobody renews then."""
        worker = self._far.remove(worker_id)
        if worker is None:
            self._local.stop(worker_id, at_once=at_once)
        else:
            self._end(worker, at_once=at_once)

    def retain(self, environments: Collection[Environment]) -> None:
        """Of this host. Nodes see to themselves."""
        self._local.retain(environments)

    def cancel(self) -> None:
        """Make running ``launch`` calls give up, and let go of the cluster. Its workers live on."""
        self._cancelled.set()
        self._local.cancel()
        self._far.close()
        with self._lock:
            self._end_driver()

    def _is_for_here(self, spec: WorkerSpec) -> bool:
        """``auto``: while the workers of this host have been given fewer CPUs than it has, or Ray is away."""
        placement = spec.settings.placement
        if placement != "auto":
            return placement == "local"
        if self._cluster is None:
            return True
        given = sum(1 for worker in self._local.observe() if worker.phase is not WorkerPhase.DEAD)
        return given < (os.cpu_count() or 1)

    def _end(self, worker: WorkerStatus, *, at_once: bool) -> None:
        cluster = self._cluster
        if cluster is not None:
            try:
                cluster.stop(worker.node, worker.worker_id, at_once)
            except Exception as error:
                _logger.warning("A worker on another host is left to its lease: %s.", type(error).__name__)

    def _watch(self) -> None:
        while not self._cancelled.is_set():
            try:
                if self._cluster is None:
                    self._connect()
                seen: Seen = self._cluster.observe()
            except Exception as error:
                self._lose(error)
            else:
                self._far.seen(seen.workers, seen.alive)
                for sentence in seen.unusable.values():
                    self._throttled.log(logging.WARNING, "%s It is used for nothing.", sentence)
                if seen.meeting:
                    self._cancelled.wait(_MEETING_S)
                    continue
            self._looked.set()
            self._cancelled.wait(_POLL_S)

    def _lose(self, error: Exception) -> None:
        address = self._settings.ray_address or "auto"
        self._away = f"The Ray cluster at {address} is away ({error or type(error).__name__})."
        self._throttled.log(logging.WARNING, "%s Its workers serve on; none is started there.", self._away)
        with self._lock:
            self._end_driver()

    def _connect(self) -> None:
        """Start the driver, and join the cluster. ConnectionError."""
        address = str(self._paths.sockets / f"ray-{secrets.token_hex(4)}")
        key = secrets.token_hex(32)
        with self._lock:
            if self._cancelled.is_set():
                return
            process = subprocess.Popen(
                [sys.executable, "-c", _DRIVER],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            self._driver = process
        hello = {"address": address, "key": key, "server": self._server(), "settings": asdict(self._settings)}
        # The key is on no command line. The driver ends when this pipe does.
        if process.stdin is not None:
            process.stdin.write(json.dumps(hello).encode() + b"\n")
            process.stdin.flush()
        manager = _Manager(address=address, authkey=bytes.fromhex(key))
        deadline = time.monotonic() + _START_S
        while True:
            try:
                manager.connect()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline or self._cancelled.is_set():
                    raise ConnectionError("ray is not installed: pip install 'mlflow-serving-plugin[ray]'") from None
                time.sleep(0.05)
        cluster: Any = manager.cluster()  # type: ignore[attr-defined]
        cluster.connect()
        _logger.info("Joined the Ray cluster.")
        self._cluster = cluster

    def _server(self) -> str:
        """This server's id, by which the next server of the state directory finds its workers."""
        path = self._paths.root / "ray-server"
        if not path.exists():
            write_atomically(path, secrets.token_hex(8).encode())
        return path.read_text()

    def _end_driver(self) -> None:
        self._cluster = None
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.kill()
            driver.wait()
            if driver.stdin is not None:
                driver.stdin.close()
            self._remove_sockets()

    def _remove_sockets(self) -> None:
        """Those of drivers that have ended; there is never more than one driver."""
        for socket in self._paths.sockets.glob("ray-*"):
            socket.unlink(missing_ok=True)
