"""Tokens: making them, and telling whose one is. Only a SHA-256 of a token is kept anywhere."""

from __future__ import annotations

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
"""Tells a token of ours from an identity provider's, and a leaked one from any other text."""

_BYTES = 32
_BEARER = re.compile(r"bearer +(mlsp_[A-Za-z0-9_-]{43}) *", re.IGNORECASE)
_USE_NOTED_EVERY_S = 60.0


class TokenStore(Protocol):
    """What of the store a look at a token needs. Thread-safe."""

    def find_token(self, digest: str) -> Token | None:
        """The token with this SHA-256."""

    def token_used(self, token_id: str, now_ms: int) -> None:
        """Note when it was used."""

    def forget_tokens(self, owner: str, *, other_than: str | None) -> None:
        """Remove the tokens of an owner whose account is not ``other_than``."""


def new_token() -> str:
    """A token's value: 32 random bytes."""
    return PREFIX + secrets.token_urlsafe(_BYTES)


def digest_of(value: str) -> str:
    """What is kept of a value. 32 random bytes need no salt and no slow hash."""
    return hashlib.sha256(value.encode()).hexdigest()


def bearer_token(authorization: str) -> str | None:
    """Our token in an Authorization header, None when it holds anything else."""
    found = _BEARER.fullmatch(authorization)
    return found.group(1) if found else None


class TokenDoor:
    """Lets callers with a token in. ``account_of``: the account of a user now, None when there is none.

    The use of a token is noted once a minute at most, by each web worker.
    """

    def __init__(
        self,
        store: TokenStore,
        account_of: Callable[[str], str | None],
        *,
        challenge: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._account_of = account_of
        self._challenge = challenge
        self._clock = clock
        self._noted: dict[str, float] = {}

    def user(self, value: str) -> User:
        """Whose token it is; UnauthenticatedError. The token of a user who is gone is removed for good."""
        token = self._store.find_token(digest_of(value))
        now = self._clock()
        if token is None:
            raise self._refusal("This token is not valid: it was revoked or never was one.")
        if token.expired(int(now * 1000)):
            raise self._refusal("This token has expired.")
        account = self._account_of(token.owner)
        if account != token.account:
            self._store.forget_tokens(token.owner, other_than=account)
            raise self._refusal("This token's user does not exist any more.")
        self._note_use(token.id, now)
        return User(token.owner, token.scope)

    def _note_use(self, token_id: str, now: float) -> None:
        if now - self._noted.get(token_id, 0.0) < _USE_NOTED_EVERY_S:
            return
        self._noted[token_id] = now
        try:
            self._store.token_used(token_id, int(now * 1000))
        except Exception as error:
            # A database that cannot be written to is no reason to let nobody in.
            _logger.warning("The use of token %s could not be noted: %s", token_id, type(error).__name__)

    def _refusal(self, message: str) -> UnauthenticatedError:
        return UnauthenticatedError(message, challenge=self._challenge)
