"""The workers of other hosts, as this host knows them: what Ray has said last, and whether their nodes live."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

from mlflow_serving_plugin.backends.base import WorkerPhase, WorkerStatus
from mlflow_serving_plugin.backends.ray_nodes import LEFT
from mlflow_serving_plugin.links.pulse import Node, Pulse
from mlflow_serving_plugin.links.tcp import RefusedError, connect
from mlflow_serving_plugin.relay.proof import LEASE, parse_address

LOST_AFTER_S = 10.0
"""A node that is silent for so long is given up. Gateways send it nothing long before."""

_SILENT = "The worker's node gives no sign of life."
_GONE = "The worker's node says that the worker has ended."
_ASK_S = 2.0
_MOST_ASKED = 16


class FarWorkers:
    """Thread-safe. Renews the lease of all nodes that have workers. ``record`` gets all workers after each change."""

    def __init__(self, record: Callable[[Collection[WorkerStatus]], object] = lambda _: None) -> None:
        self._record = record
        self._recorded: dict[str, WorkerStatus] = {}
        self._closed = False
        self._lock = threading.Lock()
        self._workers: dict[str, WorkerStatus] = {}
        self._added: dict[str, float] = {}
        """Workers that were launched, and when: an answer that was on its way then does not name them yet."""
        self._removed: dict[str, float] = {}
        """Workers that were ended, and when: an answer that was on its way then may still name them."""
        self._pulses: dict[Node, Pulse] = {}
        self._silent_since: dict[Node, float] = {}

    def add(self, worker: WorkerStatus) -> None:
        """A worker that was launched."""
        with self._lock:
            self._workers[worker.worker_id] = worker
            self._added[worker.worker_id] = time.monotonic()
            self._changed()

    def remove(self, worker_id: str) -> WorkerStatus | None:
        """Forget a worker; None when it is none of these."""
        with self._lock:
            worker = self._workers.pop(worker_id, None)
            if worker is not None:
                self._removed[worker_id] = time.monotonic()
            self._changed()
            return worker

    def seen(self, by_node: Mapping[str, Sequence[WorkerStatus]], alive: Collection[str]) -> None:
        """What the nodes of the cluster have said. Workers that start are not known before they are ready.

        ``alive``: the nodes that Ray has, some of which may have said nothing yet.
        """
        now = time.monotonic()
        with self._lock:
            self._removed = _recent(self._removed, now)
            self._added = _recent(self._added, now)
            found = {
                worker.worker_id: worker
                for workers in by_node.values()
                for worker in workers
                if worker.worker_id not in self._removed and worker.ready_since_ms is not None
            }
            for worker_id, worker in self._workers.items():
                if worker_id in found:
                    continue
                if worker.node not in alive:
                    # Replaced by workers that Ray knows of, and not before those are ready.
                    found[worker_id] = replace(worker, fingerprint=LEFT)
                elif worker.node not in by_node or worker_id in self._added:
                    found[worker_id] = worker
            self._workers = found
            self._changed()

    def restore(self, workers: Collection[WorkerStatus]) -> None:
        """The workers that an earlier controller has recorded."""
        with self._lock:
            self._workers = {worker.worker_id: worker for worker in workers}
            self._changed()
        self.check()

    def check(self) -> None:
        """Ask the nodes themselves which workers have ended, for the time when Ray says nothing. Blocks."""
        with self._lock:
            workers = [worker for worker in self._workers.values() if worker.ready]
        with ThreadPoolExecutor(_MOST_ASKED) as pool:
            ended = [worker for worker, gone in zip(workers, pool.map(_has_ended, workers), strict=True) if gone]
        with self._lock:
            for worker in ended:
                if self._workers.get(worker.worker_id) is worker:
                    self._workers[worker.worker_id] = replace(worker, phase=WorkerPhase.DEAD, message=_GONE)
            self._changed()

    def observe(self) -> list[WorkerStatus]:
        """All workers; dead those whose nodes are silent."""
        now = time.monotonic()
        with self._lock:
            for node, pulse in self._pulses.items():
                if pulse.silent:
                    self._silent_since.setdefault(node, now)
                else:
                    self._silent_since.pop(node, None)
            return [self._judged(worker, now) for worker in self._workers.values()]

    def close(self) -> None:
        """Renew no lease any more."""
        with self._lock:
            self._closed = True
            self._changed()

    def _judged(self, worker: WorkerStatus, now: float) -> WorkerStatus:
        address = parse_address(worker.address)
        since = self._silent_since.get(address.node) if address is not None else None
        if since is None or now - since < LOST_AFTER_S:
            return worker
        return replace(worker, phase=WorkerPhase.DEAD, message=_SILENT)

    def _changed(self) -> None:
        """Called with the lock. After ``close`` the records are those of the next controller."""
        if self._closed:
            self._workers = {}
        elif self._workers != self._recorded:
            self._recorded = dict(self._workers)
            self._record(self._recorded.values())
        self._watch()

    def _watch(self) -> None:
        """A pulse for each node that has workers. Called with the lock."""
        wanted = {}
        for worker in self._workers.values():
            if (address := parse_address(worker.address)) is not None:
                wanted[address.node] = address, worker.secret
        for node in self._pulses.keys() - wanted.keys():
            self._pulses.pop(node).stop()
            self._silent_since.pop(node, None)
        for node, (address, secret) in wanted.items():
            if node in self._pulses:
                self._pulses[node].use(address, secret)
            else:
                self._pulses[node] = Pulse(address, secret, lambda: None, LEASE)


def _has_ended(worker: WorkerStatus) -> bool:
    """Whether the node answers, and has no such worker. A node that does not answer may come back."""
    address = parse_address(worker.address)
    if address is None:
        return True
    try:
        with closing(connect(address, worker.secret, _ASK_S)):
            return False
    except RefusedError:
        return True
    except OSError:
        return False


def _recent(times: dict[str, float], now: float) -> dict[str, float]:
    return {worker_id: at for worker_id, at in times.items() if now - at < LOST_AFTER_S}
