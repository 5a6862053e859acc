"""Access tokens: making them and finding their owners. Only the SHA-256 of a token is stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from typing import Protocol

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.domain.token import Token
from mlflow_serving_plugin.errors import UnauthenticatedError

_logger = logging.getLogger(__name__)

PREFIX = "mlsp_"
"""Marks tokens of this plugin among those of identity providers, and makes leaked tokens easy to search for."""

_BYTES = 32
_VALUE = r"(mlsp_[A-Za-z0-9_-]{43})"
_BEARER = re.compile(rf"bearer +{_VALUE} *", re.IGNORECASE)
_BASIC = re.compile(r"basic +([A-Za-z0-9+/=]+) *", re.IGNORECASE)
_PASSWORD = re.compile(rf"token:{_VALUE}\r?\n?".encode())
"""The user name that Databricks' documents, curl and Power BI send with a token as the password.

A header that was made by ``echo token:$TOKEN | base64`` has the end of the line in it.
"""
_RECORD_EVERY_S = 60.0


class TokenReader(Protocol):
    """What authentication needs of the token store. Thread-safe."""

    def find_token(self, digest: str) -> Token | None:
        """The token with this SHA-256."""

    def token_used(self, token_id: str, now_ms: int) -> None:
        """Record when the token was used."""

    def forget_tokens(self, owner: str, *, other_than: str | None) -> None:
        """Remove the tokens of an owner whose account is not ``other_than``."""


def new_token() -> str:
    """A token's value: 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(value: str) -> str:
    """The stored form of a token's value. 32 random bytes need no salt and no slow hash."""
    return hashlib.sha256(value.encode()).hexdigest()


def token_in(authorization: str) -> str | None:
    """The plugin's token in an Authorization header, as ``Bearer`` or as the password of the user ``token``.

    None when the header holds anything else: a real user may have the name ``token``.
    """
    if found := _BEARER.fullmatch(authorization):
        return found.group(1)
    encoded = _BASIC.fullmatch(authorization)
    if encoded is None:
        return None
    try:
        password = _PASSWORD.fullmatch(base64.b64decode(encoded.group(1)))
    except binascii.Error:
        return None
    return password.group(1).decode() if password else None


class TokenAuthenticator:
    """Authenticates callers by token. ``account_of``: a user's present account, None when the user has none.

    Each web worker records the use of a token once a minute at most.
    """

    def __init__(
        self,
        store: TokenReader,
        account_of: Callable[[str], str | None],
        *,
        challenge: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._account_of = account_of
        self._challenge = challenge
        self._clock = clock
        self._recorded: dict[str, float] = {}

    def user(self, value: str) -> User:
        """The token's owner; UnauthenticatedError. Tokens of a deleted user are removed from the store."""
        token = self._store.find_token(digest_of(value))
        now = self._clock()
        if token is None:
            raise self._refusal("This token is not valid: it was revoked or never existed.")
        if token.expired(int(now * 1000)):
            raise self._refusal("This token has expired.")
        account = self._account_of(token.owner)
        if account != token.account:
            self._store.forget_tokens(token.owner, other_than=account)
            raise self._refusal("The user of this token no longer exists.")
        self._record_use(token.id, now)
        return User(token.owner, token.scope, token_id=token.id, token_expiry_ms=token.expiry_ms)

    def _record_use(self, token_id: str, now: float) -> None:
        if now - self._recorded.get(token_id, 0.0) < _RECORD_EVERY_S:
            return
        self._recorded[token_id] = now
        try:
            self._store.token_used(token_id, int(now * 1000))
        except Exception as error:
            # Callers are still authenticated while the database is read-only.
            _logger.warning("The use of token %s could not be recorded: %s", token_id, type(error).__name__)

    def _refusal(self, message: str) -> UnauthenticatedError:
        return UnauthenticatedError(message, challenge=self._challenge)
