"""Tokens, which programs send in a user's place."""

from __future__ import annotations

from dataclasses import dataclass

NEVER = -1
"""The ``expiry_ms`` of a token without a lifetime."""


def earlier(one_ms: int, other_ms: int) -> int:
    """The earlier of two ``expiry_ms``."""
    return other_ms if one_ms == NEVER else one_ms if other_ms == NEVER else min(one_ms, other_ms)


@dataclass(frozen=True, slots=True)
class Scope:
    """The limit of a scoped token: READ, and so scoring, on one registered model."""

    workspace: str
    name: str


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its value. Times in milliseconds since 1970.

    ``account`` names the owner's account for as long as it exists: an account made anew under the same name is
    another one.
    """

    id: str
    owner: str
    account: str
    comment: str
    created_ms: int
    expiry_ms: int = NEVER
    scope: Scope | None = None
    last_used_ms: int | None = None
    parent: str | None = None
    """The token with which this token was created, and with which it ends; None: created by the user."""

    def expired(self, now_ms: int) -> bool:
        """Whether the token has expired."""
        return self.expiry_ms != NEVER and self.expiry_ms <= now_ms
