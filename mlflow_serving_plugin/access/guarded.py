"""Access for a server with an auth app: asks its provider, takes tokens, and remembers both for a short time.

Nothing that could be used as a credential is a key of the memory: a keyed hash of it is, whose key lives and dies
with this process.
"""

from __future__ import annotations

import hmac
import os
import time
from collections.abc import Callable, Mapping

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.access.cache import ShortCache
from mlflow_serving_plugin.access.provider import Provider
from mlflow_serving_plugin.access.tokens import TokenDoor, bearer_token
from mlflow_serving_plugin.errors import UnauthenticatedError

_Holder = str | bytes | None

TOKEN_S = 1.0
"""How long a token is taken for good without a look: a revoked one is refused within this time everywhere."""


class GuardedAccess:
    """``Access`` by way of a provider. ``cache_s``: how long what it says is believed; 0: never.

    ``outage_s``: for how long it is believed on while the provider, or the database of tokens, fails to answer.
    """

    blocking = True

    def __init__(
        self,
        provider: Provider,
        tokens: TokenDoor | None,
        *,
        cache_s: float,
        outage_s: float = 0.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._tokens = tokens
        self._cache_s = cache_s
        self._secret = os.urandom(32)
        outage_s = outage_s if cache_s else 0.0
        self._users: ShortCache[bytes, User | UnauthenticatedError] = ShortCache(clock, outage_s=outage_s)
        self._permissions: ShortCache[tuple[_Holder, str, str], Permission] = ShortCache(clock, outage_s=outage_s)
        self._admins: ShortCache[User, bool] = ShortCache(clock)

    def identify(self, headers: Mapping[str, str]) -> User:
        """The caller; UnauthenticatedError."""
        token = self._token(headers)
        lifetime_s = self._cache_s if token is None else min(TOKEN_S, self._cache_s)
        found = self._users.fetch(self._key(headers, token), lambda: self._look_up(headers, token), lifetime_s)
        if isinstance(found, UnauthenticatedError):
            raise UnauthenticatedError(found.message, challenge=found.challenge)
        return found

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model; with a scoped token, at most read the one that it is for."""
        found = self._permissions.fetch(
            (self._holder(user), workspace, name),
            lambda: self._provider.permission(user, workspace, name),
            self._cache_s,
        )
        return _within_scope(user, workspace, name, found)

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Permission | None:
        """The same from memory: two look-ups in dictionaries."""
        user = self._users.get(self._key(headers, self._token(headers)))
        if not isinstance(user, User):
            return None
        found = self._permissions.get((self._holder(user), workspace, name))
        return None if found is None else _within_scope(user, workspace, name, found)

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin; with a scoped token, never."""
        if user.scope is not None:
            return False
        return self._admins.fetch(user, lambda: self._provider.is_admin(user), self._cache_s)

    def account(self, user: User) -> str | None:
        """The user's account; None where the auth app has none that tokens could be bound to."""
        return None if self._tokens is None or user.name is None else self._provider.account(user.name)

    def _token(self, headers: Mapping[str, str]) -> str | None:
        return None if self._tokens is None else bearer_token(headers.get("authorization", ""))

    def _key(self, headers: Mapping[str, str], token: str | None) -> bytes:
        material = self._provider.credentials(headers) if token is None else b"\x02" + token.encode()
        return hmac.digest(self._secret, material, "sha256")

    def _holder(self, user: User) -> _Holder:
        """What stands for the user as a key. The permission of an owner is the same with and without a scope."""
        if not user.credentials:
            return user.name
        return hmac.digest(self._secret, repr(user.credentials).encode(), "sha256")

    def _look_up(self, headers: Mapping[str, str], token: str | None) -> User | UnauthenticatedError:
        # A refusal is remembered too: guessing on must not cost more than once a time.
        try:
            if token is not None and self._tokens is not None:
                return self._tokens.user(token)
            return self._provider.authenticate(headers)
        except UnauthenticatedError as refusal:
            return refusal


def _within_scope(user: User, workspace: str, name: str, held: Permission) -> Permission:
    if user.scope is None:
        return held
    if (user.scope.workspace, user.scope.name) != (workspace, name):
        return Permission.NONE
    return min(held, Permission.READ)
