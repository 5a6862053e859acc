"""An entity: one model version, served with one configuration; the unit that has state, workers, logs and metrics."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class EntityKey:
    """Names a served version for as long as it lives, through renames of its model."""

    endpoint_id: str
    number: int

    def __str__(self) -> str:
        return f"{self.endpoint_id}/{self.number}"
