"""An entity: one model version, served with one configuration; the unit that has state, workers, logs and metrics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from mlflow_serving_plugin.domain.config import EndpointConfig


class EntityKey(NamedTuple):
    """Names an entity for as long as the entity lives, through renames of its endpoint and its model.

    ``name`` is unique within the endpoint. An entity that is derived from version 3 of a model is named ``3``. A tuple,
    because each tick looks up thousands of keys.
    """

    endpoint_id: str
    name: str

    def __str__(self) -> str:
        return f"{self.endpoint_id}/{self.name}"


@dataclass(frozen=True, slots=True)
class ModelRef:
    """One version of a registered model."""

    workspace: str
    name: str
    version: int


@dataclass(frozen=True, slots=True)
class Entity:
    """What is to be served. ``source``: where the registry has the model files; ``stage``: that of the version.

    ``served_name``: the name that a serving endpoint gives the entity.
    """

    key: EntityKey
    model: ModelRef
    config: EndpointConfig
    source: str
    stage: str = "None"
    served_name: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """A model's input example as a scoring request, in the canonical dialect.

    ``others``: the same input in other forms, for a model that does not take this form.
    """

    body: bytes
    content_type: str
    others: tuple[Example, ...] = field(default=(), compare=False, repr=False)

    @property
    def forms(self) -> tuple[Example, ...]:
        """All forms, this one first."""
        return self, *self.others


def name_order(name: str) -> tuple[int, str]:
    """Sorts names of entities: the names of versions by number, before all other names."""
    is_number = name.isascii() and name.isdigit() and len(name) < 19
    return (int(name), "") if is_number else (2**63, name)
