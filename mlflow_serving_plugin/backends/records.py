"""One file a worker, from which the next controller of the host finds it again."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.processes import start_stamp

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """A worker's process and socket. ``stamp`` and ``pid`` together name the process; see ``start_stamp``."""

    worker_id: str
    endpoint_id: str
    version: str
    """The entity's name. A number in records of versions before 0.2."""
    fingerprint: str
    pid: int
    stamp: str
    protocol: str
    address: str
    log: str
    started_ms: int
    ready_since_ms: int | None = None
    scored_example: bool = True

    @property
    def key(self) -> EntityKey:
        """The entity that the worker holds."""
        return EntityKey(self.endpoint_id, str(self.version))

    def running(self) -> bool:
        """Whether that very process is still there."""
        return start_stamp(self.pid) == self.stamp


def record_path(directory: Path, worker_id: str) -> Path:
    """Where a worker's record is."""
    return directory / f"{worker_id}.json"


def write_record(directory: Path, record: WorkerRecord) -> None:
    """Write or replace a worker's record."""
    write_atomically(record_path(directory, record.worker_id), json.dumps(asdict(record)).encode())


def read_records(directory: Path) -> list[WorkerRecord]:
    """All records; a damaged one is set aside and told of in the log."""
    records = []
    for path in sorted(directory.glob("*.json")):
        try:
            records.append(WorkerRecord(**json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError):
            _logger.warning("The worker record %s is damaged; setting it aside.", path.name)
            path.replace(path.with_suffix(".damaged"))
    return records


def remove_record(directory: Path, worker_id: str) -> None:
    """Remove a worker's record, if it is there."""
    record_path(directory, worker_id).unlink(missing_ok=True)
