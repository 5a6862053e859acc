"""Access for a server with an auth app: asks the app's provider, accepts tokens, caches both answers for a short time.

Cache keys are keyed hashes, never credentials; the hash key exists only in this process.
"""

from __future__ import annotations

import hmac
import os
import threading
import time
from collections.abc import Callable, Mapping

from mlflow_serving_plugin.access.base import Check, Grant, Permission, User
from mlflow_serving_plugin.access.cache import ShortCache
from mlflow_serving_plugin.access.guesses import Guesses, user_of
from mlflow_serving_plugin.access.provider import Provider
from mlflow_serving_plugin.access.tokens import TokenAuthenticator, token_in
from mlflow_serving_plugin.errors import ServingError, TooManyRequestsError, UnauthenticatedError

_Holder = str | bytes | None

TOKEN_S = 1.0
"""How long a token is accepted without a look-up: a revoked token is refused everywhere after this time."""


_HASHES = max(1, (os.cpu_count() or 1) // 4)
"""Passwords that are checked at the same time, each for some 80 ms of a core. As many again that were right before."""

_HASH_WAIT_S = 2.0


class GuardedAccess:
    """``Access`` through a provider. ``cache_s``: how long the provider's answers are cached; 0: not at all.

    ``outage_s``: how long cached answers stay valid while the provider, or the database of tokens, is unreachable.
    ``report``: called with ``wrong`` or ``delayed`` for each password that was wrong or had to wait.
    """

    blocking = True

    def __init__(
        self,
        provider: Provider,
        tokens: TokenAuthenticator,
        *,
        cache_s: float,
        outage_s: float = 0.0,
        report: Callable[[str], None] = lambda outcome: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._provider = provider
        self._tokens = tokens
        self._cache_s = cache_s
        self._secret = os.urandom(32)
        outage_s = outage_s if cache_s else 0.0
        # Apart, because a token's look-up waits for no password's.
        self._by_token: ShortCache[bytes, User | UnauthenticatedError] = ShortCache(clock, outage_s=outage_s)
        self._by_password: ShortCache[bytes, User | UnauthenticatedError] = ShortCache(clock, outage_s=outage_s)
        self._permissions: ShortCache[tuple[_Holder, str, str], Permission] = ShortCache(clock, outage_s=outage_s)
        self._admins: ShortCache[User, bool] = ShortCache(clock)
        self._guesses = Guesses(report, clock)
        self._hashing = {right: threading.BoundedSemaphore(_HASHES) for right in (False, True)}
        """By whether the password was right before: guesses do not keep known callers waiting."""

    def identify(self, headers: Mapping[str, str], address: str = "") -> User:
        """The caller; UnauthenticatedError, TooManyRequestsError."""
        token = _token(headers)
        key = self._key(headers, token)
        if token is None:
            found = self._by_password.fetch(key, lambda: self._check(key, headers, address), self._cache_s)
        else:
            lifetime_s = min(TOKEN_S, self._cache_s)
            found = self._by_token.fetch(key, lambda: _or_refusal(lambda: self._tokens.user(token)), lifetime_s)
        return _let_in(found)

    def check(self, headers: Mapping[str, str]) -> Check:
        """The provider has to be asked about credentials that are no token of ours."""
        if _token(headers) is not None:
            return Check.TOKEN
        return Check.KNOWN_PASSWORD if self._guesses.were_right(self._key(headers, None)) else Check.PASSWORD

    def refuse_guess(self, headers: Mapping[str, str], address: str) -> ServingError | None:
        """The refusal of a password that is known to be wrong, or has to wait after wrong ones."""
        user = user_of(headers.get("authorization", ""))
        if user is None or _token(headers) is not None:
            return None
        key = self._key(headers, None)
        known = self._by_password.get(key)
        if known is None:
            return self._guesses.delay(key, user, address)
        return (
            UnauthenticatedError(known.message, challenge=known.challenge)
            if isinstance(known, UnauthenticatedError)
            else None
        )

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model; with a scoped token, at most READ on the token's own model."""
        found = self._permissions.fetch(
            (self._holder(user), workspace, name),
            lambda: self._provider.permission(user, workspace, name),
            self._cache_s,
        )
        return _within_scope(user, workspace, name, found)

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Grant | None:
        """The caller and the permission from the caches: two dictionary look-ups. UnauthenticatedError."""
        token = _token(headers)
        known = (self._by_password if token is None else self._by_token).get(self._key(headers, token))
        if known is None:
            return None
        user = _let_in(known)
        found = self._permissions.get((self._holder(user), workspace, name))
        return None if found is None else Grant(user, _within_scope(user, workspace, name, found))

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin; with a scoped token, never."""
        if user.scope is not None:
            return False
        return self._admins.fetch(user, lambda: self._provider.is_admin(user), self._cache_s)

    def account(self, user: User) -> str | None:
        """The user's account; None where the auth app has no accounts that tokens could belong to."""
        return None if user.name is None else self._provider.account(user.name)

    def _key(self, headers: Mapping[str, str], token: str | None) -> bytes:
        material = self._provider.credentials(headers) if token is None else b"\x02" + token.encode()
        return hmac.digest(self._secret, material, "sha256")

    def _holder(self, user: User) -> _Holder:
        """The user's part of a cache key. It leaves the scope out: ``_within_scope`` is applied after the cache."""
        if not user.credentials:
            return user.name
        return hmac.digest(self._secret, repr(user.credentials).encode(), "sha256")

    def _check(self, key: bytes, headers: Mapping[str, str], address: str) -> User | UnauthenticatedError:
        """Have the provider check credentials that are no token; TooManyRequestsError."""
        user = user_of(headers.get("authorization", ""))
        hashing = self._hashing[self._guesses.were_right(key)]
        if not hashing.acquire(timeout=_HASH_WAIT_S):
            raise TooManyRequestsError("Too many passwords are being checked. Try again.", retry_after_s=1)
        try:
            # Guesses that came together are counted one after the other.
            delayed = None if user is None else self._guesses.delay(key, user, address)
            if delayed is not None:
                raise delayed
            found = _or_refusal(lambda: self._provider.authenticate(headers))
        finally:
            hashing.release()
        if user is not None and isinstance(found, User):
            self._guesses.succeeded(key)
        elif user is not None:
            self._guesses.failed(key, user, address)
        return found


def _or_refusal(authenticate: Callable[[], User]) -> User | UnauthenticatedError:
    """Refusals are cached as callers are, so that repeating a wrong password costs one check."""
    try:
        return authenticate()
    except UnauthenticatedError as refusal:
        return refusal


def _let_in(found: User | UnauthenticatedError) -> User:
    if isinstance(found, UnauthenticatedError):
        raise UnauthenticatedError(found.message, challenge=found.challenge)
    return found


def _token(headers: Mapping[str, str]) -> str | None:
    return token_in(headers.get("authorization", ""))


def _within_scope(user: User, workspace: str, name: str, held: Permission) -> Permission:
    if user.scope is None:
        return held
    if (user.scope.workspace, user.scope.name) != (workspace, name):
        return Permission.NONE
    return min(held, Permission.READ)
