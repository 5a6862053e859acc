"""The contract between whoever guards the server and the rest of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from mlflow_serving_plugin.domain.token import Scope
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
    scope: Scope | None = None
    """All that the caller's token is good for; None: whatever the user may do."""
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers to ask the wrapped app with, where only it knows what they are good for."""


class Access(Protocol):
    """Identifies callers and tells their permission on a registered model. Thread-safe.

    All but ``recall`` may block: a password's hash takes 78 ms, and a database may be slow.
    """

    blocking: bool
    """Whether they really do, so that an event loop must not call them."""

    def identify(self, headers: Mapping[str, str]) -> User:
        """The caller, from request headers with lower-case names; UnauthenticatedError if there is none."""

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model."""

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Permission | None:
        """What the caller may do with the model, from memory alone; None when that has to be looked up."""

    def is_admin(self, user: User) -> bool:
        """Whether the user looks after the server as a whole."""

    def account(self, user: User) -> str | None:
        """What names the user's account for as long as it exists; None where there are no accounts."""


def require(access: Access, user: User, workspace: str, name: str, needed: Permission) -> None:
    """Raise unless the user has the permission. A model one may not read does not exist for one."""
    held = access.permission(user, workspace, name)
    if held >= needed:
        return
    if held < Permission.READ:
        raise NotFoundError(f"Registered Model with name={name} not found")
    raise PermissionDeniedError(f"You need {needed.name} permission on registered model '{name}' for this.")
