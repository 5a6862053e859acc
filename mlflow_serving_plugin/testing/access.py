"""Users and permissions in a table, in an auth app's place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.access.base import Check, Grant, Permission, User
from mlflow_serving_plugin.errors import UnauthenticatedError


@dataclass
class MemoryAccess:
    """``users``: names by ``Authorization`` header, None on a server without authentication. ``permissions``: by user
    and model; who is not in the table holds ``default``.
    """

    users: dict[str, str] | None = None
    permissions: dict[tuple[str | None, str], Permission] = field(default_factory=dict)
    default: Permission = Permission.MANAGE
    admins: set[str | None] = field(default_factory=set)
    blocking: bool = False

    def identify(self, headers: Mapping[str, str], address: str = "") -> User:
        if self.users is None:
            return User(None)
        name = self.users.get(headers.get("authorization", ""))
        if name is None:
            raise UnauthenticatedError("Credentials are missing or wrong.")
        return User(name)

    def check(self, headers: Mapping[str, str]) -> Check:
        return Check.PASSWORD if headers.get("authorization", "")[:6].lower() == "basic " else Check.TOKEN

    def refuse_guess(self, headers: Mapping[str, str], address: str) -> None:
        return None

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        return self.permissions.get((user.name, name), self.default)

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Grant | None:
        caller = self.identify(headers)
        return Grant(caller, self.permission(caller, workspace, name))

    def is_admin(self, user: User) -> bool:
        return user.name in self.admins

    def account(self, user: User) -> str | None:
        return None if user.name is None else f"account of {user.name}"
