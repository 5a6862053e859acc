"""Workers as processes of this host, each under a guard in a session of its own, on a unix socket."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import threading
import time
import uuid
from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from mlflow_serving_plugin.backends.base import Memory, WorkerFailedError, WorkerSpec, WorkerStatus, worker_arguments
from mlflow_serving_plugin.backends.caches import prepare_cache
from mlflow_serving_plugin.backends.gpus import Gpus, devices_here, devices_of
from mlflow_serving_plugin.backends.isolation import levels, sandbox_of
from mlflow_serving_plugin.backends.local_worker import LocalWorker, listens
from mlflow_serving_plugin.backends.native import Native, Zygotes
from mlflow_serving_plugin.backends.probe import Trial
from mlflow_serving_plugin.backends.records import WorkerRecord, read_records, record_path, write_record
from mlflow_serving_plugin.backends.runtime import Runtime, never, with_versions
from mlflow_serving_plugin.backends.stock import Stock
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.host.cgroups import Groups
from mlflow_serving_plugin.host.files import remove
from mlflow_serving_plugin.host.memory import taken_by, taken_by_one
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import kill_session, session_members, start_stamp
from mlflow_serving_plugin.settings import Settings

_logger = logging.getLogger(__name__)
_SPAWN_S = 10.0
"""How long ``cancel`` waits for processes that are being started: milliseconds, unless the machine is stuck."""

_KILL_AFTER_S = 2.0
"""How much longer than its own grace a guard gets before it is killed with all below it."""


class LocalBackend:
    """The backend for one host. Its workers are found again through their records.

    ``shared``: workers get secrets, with which a relay lets gateways of other hosts reach them.
    """

    def __init__(self, settings: Settings, paths: StatePaths, *, shared: bool = False) -> None:
        self._shared = shared
        self._settings = settings
        self._paths = paths
        self._workers: dict[str, LocalWorker] = {}
        self._zygotes = Zygotes(settings, paths)
        self._runtimes: dict[str, Runtime] = {"native": Native(settings, self._zygotes), "mlflow": Stock(settings)}
        self._lock = threading.Lock()
        self._cancelled = threading.Event()
        self._groups = Groups(None)
        self.gpus = Gpus(None if shared else devices_here(settings.gpus, os.environ))
        self._spawning = 0
        self._spawned = threading.Condition(self._lock)

    def adopt(self) -> None:
        """Take over an earlier controller's workers; end those that cannot serve, and what is left of dead ones."""
        self._groups = Groups.find()
        _logger.info("Control groups limit %s of workers here.", self._groups)
        _logger.info("The sandbox of models has these layers here: %s.", levels())
        for record in read_records(self._paths.workers):
            with self._lock:
                self._workers.setdefault(record.worker_id, LocalWorker(record, None))
            self.gpus.keep(record)
            if record.ready_since_ms is None or not record.running() or not listens(record.address):
                self.stop(record.worker_id)
        with self._lock:
            live = {worker.record.address for worker in self._workers.values()}
        self._groups.remove()
        for leftover in self._paths.workers.glob("*.tmp"):
            leftover.unlink(missing_ok=True)
        for path in self._paths.sockets.glob("*.sock*"):
            if f"{str(path).rpartition('.sock')[0]}.sock" not in live:
                remove(path)

    def launch(self, spec: WorkerSpec) -> None:
        """See ``start``."""
        self.start(spec)

    def start(self, spec: WorkerSpec) -> str:
        """Start a worker and wait until it has answered the model's input example (without one: a ping); its id."""
        deadline = time.monotonic() + self._settings.start_timeout_s
        with self._may_spawn():
            worker = self._spawn(spec)
        worker_id = worker.record.worker_id
        try:
            probe = self._runtimes[spec.settings.runtime].probe(worker.record.address)
            probe.wait_until_answering(deadline, lambda: self._give_up(worker))
            trial = probe.try_example(spec.example, deadline) if spec.example is not None else Trial()
            ready = replace(worker.record, ready_since_ms=_now_ms(), **asdict(trial))
            with self._lock:
                # Stopped meanwhile: its files were removed, and must not be written again.
                if worker_id not in self._workers:
                    raise WorkerFailedError("The worker was stopped before it was ready.")  # noqa: TRY301
                write_record(self._paths.workers, ready)
        except Exception as error:
            if isinstance(error, WorkerFailedError) and self._cancelled.is_set():
                raise WorkerFailedError("The controller is stopping.") from error
            self.stop(worker_id)
            if isinstance(error, WorkerFailedError):
                raise WorkerFailedError(with_versions(error.message, spec)) from error
            raise
        with self._lock:
            worker.record = ready
        return worker_id

    def observe(self) -> list[WorkerStatus]:
        """Every worker; a dead one with the reason why it ended."""
        with self._lock:
            workers = list(self._workers.values())
        return [worker.status() for worker in workers]

    def memory(self) -> Memory:
        """What workers and zygotes take now."""
        with self._lock:
            heads = {worker_id: worker.record.pid for worker_id, worker in self._workers.items()}
        zygotes = [taken_by_one(pid) for pid in self._zygotes.pids()]
        return Memory(taken_by(heads), sum(zygote.total for zygote in zygotes))

    def stop(self, worker_id: str, *, at_once: bool = False) -> None:
        """Ask the worker, or its guard, to end the session; kill what does not go; remove record and socket."""
        with self._lock:
            worker = self._workers.get(worker_id)
        if worker is None:
            return
        if worker.running() and not at_once and not worker.stopped():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.record.pid, signal.SIGTERM)
            self._wait_gone(worker)
        kill_session(worker.record.pid, worker.record.stamp)
        if worker.process is not None:
            worker.process.wait()
        self._groups.remove(worker_id)
        address = Path(worker.record.address)
        for path in address.parent.glob(f"{address.name}*"):
            remove(path)
        record_path(self._paths.workers, worker_id).unlink(missing_ok=True)
        with self._lock:
            self._workers.pop(worker_id, None)
        self.gpus.give_back(worker_id)

    def retain(self, environments: Collection[Environment]) -> None:
        """End the zygotes of all other environments."""
        self._zygotes.retain({environment.python for environment in environments})

    def cancel(self) -> None:
        """End running ``launch`` calls without ending their workers.

        When it returns, every process that was started is in the records, and none will be started any more:
        the next process that ends the workers of the host finds all of them.
        """
        self._cancelled.set()
        self._zygotes.cancel()
        with self._spawned:
            self._spawned.wait_for(lambda: not self._spawning, _SPAWN_S)

    @contextlib.contextmanager
    def _may_spawn(self) -> Iterator[None]:
        """Count a process that is being started; WorkerFailedError after ``cancel``."""
        with self._lock:
            if self._cancelled.is_set():
                raise WorkerFailedError("The controller is stopping.")
            self._spawning += 1
        try:
            yield
        finally:
            with self._spawned:
                self._spawning -= 1
                self._spawned.notify_all()

    def _spawn(self, spec: WorkerSpec) -> LocalWorker:
        worker_id = uuid.uuid4().hex[:12]
        address = self._paths.sockets / f"{worker_id}.sock"
        started_ms = _now_ms()
        runtime = self._runtimes[spec.settings.runtime]
        if reason := never(spec, self._settings) or runtime.refuses(spec):
            raise WorkerFailedError(reason)
        with self.gpus.given(worker_id, spec) as equipped:
            pid, process = runtime.start(equipped, self._common(spec, worker_id), address)
        record = WorkerRecord(
            worker_id=worker_id,
            key=spec.key,
            fingerprint=spec.fingerprint,
            pid=pid,
            stamp=start_stamp(pid) or "",
            protocol=runtime.protocol,
            address=str(address),
            log=str(spec.log),
            started_ms=started_ms,
            sandbox=sandbox_of(spec),
            token_id=spec.token_id,
            secret=secrets.token_hex(32) if self._shared else "",
            devices=devices_of(equipped),
            gpus=spec.settings.gpus or 0.0,
        )
        worker = LocalWorker(record, process)
        with self._lock:
            self._workers[worker_id] = worker
        try:
            write_record(self._paths.workers, record)
        except OSError:
            self.stop(worker_id, at_once=True)
            raise
        return worker

    def _common(self, spec: WorkerSpec, worker_id: str) -> dict[str, object]:
        """The configuration that workers of every runtime get."""
        return {
            "worker_id": worker_id,
            "record": str(record_path(self._paths.workers, worker_id)),
            "log": str(spec.log),
            "log_max_bytes": self._settings.log_max_bytes,
            "log_backups": self._settings.log_backups,
            "lease": str(self._paths.lease),
            "orphan_grace_s": self._settings.orphan_grace_s,
            "stop_grace_s": self._settings.stop_grace_s,
            "overdue_grace_s": self._settings.overdue_grace_s,
            "cache": prepare_cache(spec),
            **worker_arguments(spec.settings),
            **self._groups.configure(worker_id, worker_arguments(spec.settings)),
        }

    def _give_up(self, worker: LocalWorker) -> str | None:
        if self._cancelled.is_set():
            return "The controller is stopping."
        if worker.running():
            return None
        worker.wait_until_logged()
        return worker.why_dead()

    def _wait_gone(self, worker: LocalWorker) -> None:
        deadline = time.monotonic() + self._settings.stop_grace_s + _KILL_AFTER_S
        while time.monotonic() < deadline:
            if not worker.running() and not session_members(worker.record.pid):
                return
            time.sleep(0.05)


def _now_ms() -> int:
    return int(time.time() * 1000)
