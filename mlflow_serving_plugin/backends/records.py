"""One file for each worker, through which the next controller of the host finds the worker; one for those elsewhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.backends.base import Worker, WorkerPhase, WorkerStatus
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.files import write_atomically
from mlflow_serving_plugin.host.processes import kill_session, runs

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerRecord(Worker):
    """A worker of this host. ``stamp`` and ``pid`` together name the process; see ``start_stamp``.

    ``devices``: the GPUs that it has, as in ``CUDA_VISIBLE_DEVICES``; ``gpus``: how many it asked for.
    """

    pid: int
    stamp: str
    log: str
    devices: str = ""
    gpus: float = 0.0

    def running(self) -> bool:
        """Whether that very process is still there."""
        return runs(self.pid, self.stamp)


def record_path(directory: Path, worker_id: str) -> Path:
    """Where a worker's record is."""
    return directory / f"{worker_id}.json"


def write_record(directory: Path, record: WorkerRecord) -> None:
    """Write or replace a worker's record."""
    write_atomically(record_path(directory, record.worker_id), json.dumps(_facts(record)).encode())


def read_records(directory: Path) -> list[WorkerRecord]:
    """All records, also those of other versions of this package; a damaged one is set aside, with a warning."""
    records = []
    for path in sorted(directory.glob("*.json")):
        try:
            facts = json.loads(path.read_bytes())
            records.append(WorkerRecord(**_known(WorkerRecord, facts)))
        except (OSError, ValueError, TypeError, KeyError):
            _logger.warning("The worker record %s is damaged; setting it aside.", path.name)
            path.replace(path.with_suffix(".damaged"))
    return records


def write_far_records(path: Path, workers: Iterable[WorkerStatus]) -> None:
    """All workers of other hosts, in one file."""
    write_atomically(path, json.dumps([_facts(worker) for worker in workers]).encode())


def read_far_records(path: Path) -> list[WorkerStatus]:
    """The workers of other hosts, as they were seen last; a damaged file is set aside, with a warning."""
    try:
        known = [_known(WorkerStatus, facts) for facts in json.loads(path.read_bytes())]
        return [WorkerStatus(**{**facts, "phase": WorkerPhase(facts["phase"])}) for facts in known]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError):
        _logger.warning("The file %s is damaged; setting it aside.", path.name)
        path.replace(path.with_suffix(".damaged"))
        return []


def _facts(worker: Worker) -> dict[str, Any]:
    facts = asdict(worker)
    del facts["key"]
    return facts | {"endpoint_id": worker.key.endpoint_id, "version": worker.key.name}


def _known(kind: type[Worker], facts: dict[str, Any]) -> dict[str, Any]:
    """What this version of the package knows of a record."""
    known = {item.name: facts[item.name] for item in fields(kind) if item.name in facts}
    return {**known, "key": EntityKey(facts["endpoint_id"], str(facts["version"]))}


def kill_recorded_workers(directory: Path) -> None:
    """Kill every recorded worker that still runs, for a state directory whose server will not start again."""
    for record in read_records(directory):
        if record.running():
            kill_session(record.pid, record.stamp)
