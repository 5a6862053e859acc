"""What the registry holds, as far as serving is concerned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One model version. ``source``: where its files are, as the registry resolves it."""

    number: int
    stage: str
    status: str
    source: str

    @property
    def active(self) -> bool:
        """Whether it is to be served: registered completely and not archived."""
        return self.status == "READY" and self.stage.lower() not in {"archived", "deleted_internal"}


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model with all its versions. ``aliases`` maps an alias to a version number."""

    workspace: str
    name: str
    created_ms: int
    versions: tuple[ModelVersion, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)
