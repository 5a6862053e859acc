"""Which entities have proved that they can be served, and as what: what may sleep without a launch. Kept in a file."""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from mlflow_serving_plugin.backends.base import WorkerStatus
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.files import write_atomically

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Proof:
    """The last worker of an entity that answered: its fingerprint, and what it said of itself."""

    fingerprint: str
    scored_example: bool
    example_form: int | None
    example_note: str
    note: str


_proofs = TypeAdapter(dict[str, Proof])


class Proofs:
    """The proofs of one host, which outlive the server. Belongs to the loop's thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._changed = False
        self.by_key: dict[EntityKey, Proof] = {}
        try:
            found = _proofs.validate_json(path.read_bytes())
            self.by_key = {EntityKey(*key.split("/", 1)): proof for key, proof in found.items()}
        except FileNotFoundError:
            pass
        except (OSError, ValueError, TypeError):
            _logger.warning("The file of versions that were served before is damaged: each version is started once.")

    def add(self, worker: WorkerStatus) -> None:
        """Take in a ready worker of the wanted fingerprint."""
        before = self.by_key.get(worker.key)
        # A worker says whether it batches somewhat later than it is ready.
        note = worker.note or (before.note if before and before.fingerprint == worker.fingerprint else "")
        proof = Proof(worker.fingerprint, worker.scored_example, worker.example_form, worker.example_note, note)
        if proof != before:
            self.by_key[worker.key] = proof
            self._changed = True

    def drop(self, key: EntityKey) -> None:
        """Forget an entity that does not start any more."""
        self._changed |= self.by_key.pop(key, None) is not None

    def keep(self, keys: Container[EntityKey]) -> None:
        """Forget all other entities."""
        for key in [key for key in self.by_key if key not in keys]:
            self.drop(key)

    def save(self) -> None:
        """Write what has changed. A file that cannot be written costs one start of each version."""
        if not self._changed:
            return
        try:
            write_atomically(self._path, _proofs.dump_json({str(key): proof for key, proof in self.by_key.items()}))
            self._changed = False
        except OSError as error:
            _logger.warning("Which versions were served could not be written, trying again: %s.", error.strerror)
