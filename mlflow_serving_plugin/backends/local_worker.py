"""One worker process of this host: whether the worker runs, its note, and why it ended."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, fields
from pathlib import Path

from mlflow_serving_plugin.backends.base import OVERDUE, Worker, WorkerPhase, WorkerStatus
from mlflow_serving_plugin.backends.diagnose import death_reason, last_output
from mlflow_serving_plugin.backends.records import WorkerRecord
from mlflow_serving_plugin.host.processes import is_stopped

_TAIL_BYTES = 64 * 1024
_LONGEST_NOTE = 4096
_LOGGED_S = 1.0
_CONNECT_S = 1.0
_STOPPED_S = 2.0
"""A worker that is stopped for so long holds up its requests. Its requests are retried once it is killed."""


def listens(address: str) -> bool:
    """Whether a process accepts connections on a unix socket. A busy process counts as accepting."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(address)
        except TimeoutError:
            return True
        except OSError:
            return False
    return True


@dataclass(slots=True)
class LocalWorker:
    """A worker and its record."""

    record: WorkerRecord
    process: subprocess.Popen[bytes] | None
    """None when the worker is not a child of this process."""
    _status_mtime_ns: int = 0
    _note: str = ""
    _has_served: bool = False
    _draining: bool = False
    _stopped_at: float | None = None

    def running(self) -> bool:
        """Whether the worker's process runs. Also reaps a child that has ended."""
        return self.process.poll() is None if self.process is not None else self.record.running()

    def status(self) -> WorkerStatus:
        """The worker as it is now; of a dead one with the reason why it ended."""
        record = self.record
        phase = WorkerPhase.READY if record.ready_since_ms is not None else WorkerPhase.STARTING
        message = ""
        if not self.running():
            phase, message = WorkerPhase.DEAD, self.why_dead()
        elif phase is WorkerPhase.READY and self.stopped():
            phase, message = WorkerPhase.DEAD, "The worker was stopped by a signal or a debugger."
        elif phase is WorkerPhase.READY and self.draining():
            phase, message = WorkerPhase.DRAINING, OVERDUE
        elif phase is WorkerPhase.READY and not Path(record.address).exists():
            # A guard logs how its worker ended, then removes the socket, then ends itself.
            removed = "The worker's socket was removed: the worker is unreachable."
            phase, message = WorkerPhase.DEAD, self.why_dead() if self.end_logged() else removed
        return WorkerStatus(
            **{item.name: getattr(record, item.name) for item in fields(Worker)},
            phase=phase,
            message=message,
            note=self.note() if phase is WorkerPhase.READY else "",
            has_served=self.has_served(),
        )

    def note(self) -> str:
        """The worker's note for people: whether the worker batches and why, what isolates it, and its GPUs."""
        self._listen()
        sandbox = f"Sandbox: {self.record.sandbox}." if self.record.sandbox else ""
        gpus = f"CUDA_VISIBLE_DEVICES: {self.record.devices}." if self.record.devices else ""
        return " ".join(part for part in (self._note, sandbox, gpus) if part)

    def has_served(self) -> bool:
        """Whether the worker has answered a number of requests; also known of a dead worker."""
        self._listen()
        return self._has_served

    def draining(self) -> bool:
        """Whether the worker says that it takes no more requests."""
        self._listen()
        return self._draining

    def stopped(self) -> bool:
        """Whether the process has been stopped for a while, by SIGSTOP or a debugger: it answers nothing.

        A profiler stops a process for moments only. To be asked regularly.
        """
        now = time.monotonic()
        if not is_stopped(self.record.pid):
            self._stopped_at = None
        elif self._stopped_at is None:
            self._stopped_at = now
        return self._stopped_at is not None and now - self._stopped_at >= _STOPPED_S

    def _listen(self) -> None:
        """Read the worker's status file, beside its socket, when the file has changed."""
        path = Path(f"{self.record.address}.status")
        try:
            stamp = path.stat().st_mtime_ns
            if stamp != self._status_mtime_ns:
                status = json.loads(_read_start(path))
                self._note = f"Batching {'on' if status['batching'] else 'off'}: {str(status['why'])[:200]}."
                self._has_served = status.get("proved") is True
                self._draining = status.get("draining") is True
                self._status_mtime_ns = stamp
        except (OSError, ValueError, KeyError, TypeError):
            pass

    def why_dead(self) -> str:
        """The reason of the worker's end, for people."""
        tail, worker_id = self._tail(), self.record.worker_id
        served = self.record.ready_since_ms is not None
        reason = death_reason(tail, worker_id, served=served)
        # The output of a worker that has served may quote requests.
        output = "" if served else last_output(tail, worker_id)
        if reason is None:
            reason = "The worker exited without an error message."
            output = output or "See the version's log."
        return f"{reason} {output}".strip() if reason.startswith("The worker ") else reason

    def wait_until_logged(self) -> None:
        """Wait a moment until the zygote has written the end of a fork to the log."""
        deadline = time.monotonic() + _LOGGED_S
        while self.process is None and not self.end_logged() and time.monotonic() < deadline:
            time.sleep(0.02)

    def end_logged(self) -> bool:
        """Whether the worker's guard or zygote has written to the log that the worker ended."""
        return f" worker {self.record.worker_id} ended" in self._tail()

    def _tail(self) -> str:
        path = Path(self.record.log)
        try:
            with path.open("rb") as log:
                log.seek(max(0, path.stat().st_size - _TAIL_BYTES))
                return log.read().decode("utf-8", "replace")
        except OSError:
            return ""


def _read_start(path: Path) -> bytes:
    """The start of a file written by a worker, which may be of any size, or a pipe without a writer."""
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        return os.read(fd, _LONGEST_NOTE)
    finally:
        os.close(fd)
