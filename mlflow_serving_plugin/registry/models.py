"""Registered models and their versions, as far as serving needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One model version. ``source``: the URI of the version's files, as the registry resolves the URI."""

    number: int
    stage: str
    status: str
    source: str

    @property
    def active(self) -> bool:
        """Whether the version is to be served: completely registered and not archived."""
        return not self.inactive

    @property
    def complete(self) -> bool:
        """Whether the version is registered completely, and not deleted."""
        return self.status == "READY" and self.stage.lower() != "deleted_internal"

    @property
    def inactive(self) -> str:
        """Why the version is not to be served; empty for one that is."""
        if self.stage.lower() in {"archived", "deleted_internal"}:
            return "archived"
        return "" if self.status == "READY" else "not registered completely"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A registered model with all its versions. ``aliases`` maps an alias to a version number."""

    workspace: str
    name: str
    created_ms: int
    versions: tuple[ModelVersion, ...] = ()
    aliases: Mapping[str, int] = field(default_factory=dict)

    def find(self, reference: str) -> ModelVersion | None:
        """The version that a number, ``@alias`` or a stage (in any case) means; None when there is no such version.

        A version counts while it is archived, but not when it was not registered completely.
        """
        if reference.startswith("@"):
            number = self.aliases.get(reference[1:])
            found = [version for version in self.versions if version.number == number]
        elif reference.isascii() and reference.isdigit():
            found = [version for version in self.versions if version.number == int(reference)]
        else:
            found = [version for version in self.versions if version.stage.lower() == reference.lower()]
        return next((version for version in reversed(found) if version.complete), None)
