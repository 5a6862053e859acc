"""Access for a server without authentication: every caller may do everything."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_serving_plugin.access.base import Check, Grant, Permission, User


class NoAuth:
    """Access for a tracking server without an auth app."""

    blocking = False
    _GRANT = Grant(User(name=None), Permission.MANAGE)

    def identify(self, headers: Mapping[str, str], address: str = "") -> User:
        """A user without a name."""
        return self._GRANT.caller

    def check(self, headers: Mapping[str, str]) -> Check:
        """There are no passwords."""
        return Check.TOKEN

    def refuse_guess(self, headers: Mapping[str, str], address: str) -> None:
        """There are no passwords."""

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """Everything."""
        return Permission.MANAGE

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Grant | None:
        """Everything."""
        return self._GRANT

    def is_admin(self, user: User) -> bool:
        """Every caller is an admin."""
        return True

    def account(self, user: User) -> str | None:
        """There are no accounts."""
        return None
