"""The contract between whoever guards the server and the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Protocol

from mlflow_serving_plugin.errors import NotFoundError, PermissionDeniedError


class Permission(IntEnum):
    """What a user may do with one registered model. READ scores and looks, MANAGE enables and configures."""

    NONE = 0
    READ = 1
    MANAGE = 2


@dataclass(frozen=True, slots=True)
class User:
    """Whoever calls. ``name`` is None on a server without authentication."""

    name: str | None


class Access(Protocol):
    """Identifies callers and tells their permission on a registered model. Thread-safe."""

    def identify(self, headers: Mapping[str, str]) -> User:
        """The caller, from request headers with lower-case names; UnauthenticatedError if there is none."""

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model."""


def require(access: Access, user: User, workspace: str, name: str, needed: Permission) -> None:
    """Raise unless the user has the permission. A model one may not read does not exist for one."""
    held = access.permission(user, workspace, name)
    if held >= needed:
        return
    if held < Permission.READ:
        raise NotFoundError(f"Registered Model with name={name} not found")
    raise PermissionDeniedError(f"You need {needed.name} permission on registered model '{name}' for this.")
