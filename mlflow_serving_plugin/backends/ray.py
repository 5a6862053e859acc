"""Workers on the nodes of a Ray cluster, and on this host: Ray decides where, and gateways call the workers directly.

Ray carries no request. Its driver is a process of its own (``ray_process``); without Ray this backend still knows the
workers that it has seen, renews their lease through the relays of their nodes, and finds out which nodes are silent.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Collection
from contextlib import closing

from mlflow_serving_plugin.backends.base import (
    Memory,
    OutOfSightError,
    WorkerFailedError,
    WorkerPhase,
    WorkerSpec,
    WorkerStatus,
)
from mlflow_serving_plugin.backends.far_workers import FarWorkers
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.backends.ray_client import RayClient
from mlflow_serving_plugin.backends.ray_nodes import Seen
from mlflow_serving_plugin.backends.records import read_far_records, write_far_records
from mlflow_serving_plugin.domain.tracking import LOOPBACK, URI, is_loopback
from mlflow_serving_plugin.environments.ready import Environment
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


class RayBackend:
    """The local backend, and one beside it for workers elsewhere; see ``placement`` in an endpoint's configuration."""

    def __init__(self, settings: Settings, paths: StatePaths) -> None:
        self._settings = settings
        self._paths = paths
        self._local = LocalBackend(settings, paths)
        self._records = paths.root / "ray-workers.json"
        """The workers elsewhere, so that the next controller knows them while Ray is away."""
        self._far = FarWorkers(self._record)
        self._client = RayClient(settings, paths)
        self._away = "The Ray cluster has not answered yet."
        self._cancelled = threading.Event()
        self._looked = threading.Event()
        self._throttled = Throttled(_logger)

    def adopt(self) -> None:
        """Find the workers of an earlier controller, here and elsewhere, also while the cluster is away."""
        self._client.remove_sockets()
        self._local.adopt()
        self._far.restore(read_far_records(self._records))
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
        if is_loopback(uri := spec.tracking.get(URI, "")):
            raise WorkerFailedError(LOOPBACK.format(uri=uri))
        cluster = self._client.cluster
        if cluster is None:
            raise WorkerFailedError(f"{self._away} No worker can be started on other hosts.")
        try:
            worker: WorkerStatus = cluster.launch(spec)
        except (OSError, EOFError):
            raise OutOfSightError("Ray was lost while the worker started.") from None
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
        self._client.close()

    def _is_for_here(self, spec: WorkerSpec) -> bool:
        """``auto``: while this host has fewer workers than CPUs, and the GPUs that are asked for, or Ray is away.

        Always, for a model that uses this server by an address that only this host reaches.
        """
        placement = spec.settings.placement
        if placement == "auto" and is_loopback(spec.tracking.get(URI, "")):
            return True
        if placement != "auto":
            return placement == "local"
        if self._client.cluster is None:
            return True
        given = sum(1 for worker in self._local.observe() if worker.phase is not WorkerPhase.DEAD)
        return given < (os.cpu_count() or 1) and self._local.gpus.fit(spec)

    def _end(self, worker: WorkerStatus, *, at_once: bool) -> None:
        cluster = self._client.cluster
        if cluster is not None:
            try:
                cluster.stop(worker.node, worker.worker_id, at_once)
            except Exception as error:
                _logger.warning("A worker on another host is left to its lease: %s.", type(error).__name__)

    def _watch(self) -> None:
        while not self._cancelled.is_set():
            try:
                if self._client.cluster is None:
                    self._client.connect()
                seen: Seen = self._client.cluster.observe()
            except Exception as error:
                if self._cancelled.is_set():
                    return
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
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        self._away = f"The Ray cluster at {address} is away ({reason})."
        self._throttled.log(logging.WARNING, "%s Its workers serve on; none is started there.", self._away)
        self._client.end()
        self._far.check()

    def _record(self, workers: Collection[WorkerStatus]) -> None:
        try:
            write_far_records(self._records, workers)
        except OSError as error:
            self._throttled.log(logging.ERROR, "The records of far workers cannot be written: %s.", error.strerror)
