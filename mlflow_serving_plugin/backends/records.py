"""One file for each worker, through which the next controller of the host finds the worker."""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.backends.base import Worker
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.processes import kill_session, runs

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord(Worker):
    """A worker of this host. ``stamp`` and ``pid`` together name the process; see ``start_stamp``."""

    pid: int
    stamp: str
    log: str

    def running(self) -> bool:
        """Whether that very process is still there."""
        return runs(self.pid, self.stamp)


def record_path(directory: Path, worker_id: str) -> Path:
    """Where a worker's record is."""
    return directory / f"{worker_id}.json"


def write_record(directory: Path, record: WorkerRecord) -> None:
    """Write or replace a worker's record."""
    facts = asdict(record)
    del facts["key"]
    facts |= {"endpoint_id": record.key.endpoint_id, "version": record.key.name}
    write_atomically(record_path(directory, record.worker_id), json.dumps(facts).encode())


def read_records(directory: Path) -> list[WorkerRecord]:
    """All records, also those of other versions of this package; a damaged one is set aside, with a warning."""
    records = []
    for path in sorted(directory.glob("*.json")):
        try:
            records.append(_read(json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError, KeyError):
            _logger.warning("The worker record %s is damaged; setting it aside.", path.name)
            path.replace(path.with_suffix(".damaged"))
    return records


def _read(facts: dict[str, Any]) -> WorkerRecord:
    known = {item.name: facts[item.name] for item in fields(WorkerRecord) if item.name in facts}
    return WorkerRecord(**known, key=EntityKey(facts["endpoint_id"], str(facts["version"])))


def kill_recorded_workers(directory: Path) -> None:
    """Kill every recorded worker that still runs, for a state directory whose server will not start again."""
    for record in read_records(directory):
        if record.running():
            kill_session(record.pid, record.stamp)
