"""No authentication: the server has none, so everybody may do everything."""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_serving_plugin.access.base import Permission, User


class NoAuth:
    """Access for a tracking server without an auth app."""

    blocking = False

    def identify(self, headers: Mapping[str, str]) -> User:
        """Nobody in particular."""
        return User(name=None)

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """Everything."""
        return Permission.MANAGE

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Permission | None:
        """Everything."""
        return Permission.MANAGE

    def is_admin(self, user: User) -> bool:
        """Everybody is."""
        return True

    def account(self, user: User) -> str | None:
        """There are none."""
        return None
