"""Tokens in memory, as ``store.tokens.TokenStore`` keeps them in a database."""

from __future__ import annotations

from dataclasses import replace

from mlflow_serving_plugin.domain.events import Event, storable
from mlflow_serving_plugin.domain.token import Token
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.store.tokens import MOST_TOKENS
from mlflow_serving_plugin.testing.store import MemoryStore


class MemoryTokens:
    """Tokens by digest. Their events go to ``store``, which has the audit."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._tokens: dict[str, Token] = {}

    def add_token(self, token: Token, digest: str) -> None:
        held = len(self.tokens(token.owner))
        if held >= MOST_TOKENS:
            raise InvalidParameterError(f"You have {held} tokens, which is the most: delete one first.")
        self._tokens[digest] = replace(token, comment=storable(token.comment))
        what = f" for model '{token.scope.name}' only" if token.scope else ""
        self._store.record("server", "TOKEN_CREATED", f"Token {token.id}{what} was created by {token.owner}.")

    def find_token(self, digest: str) -> Token | None:
        return self._tokens.get(digest)

    def tokens(self, owner: str | None) -> list[Token]:
        found = [token for token in list(self._tokens.values()) if owner in {None, token.owner}]
        return sorted(found, key=lambda token: (-token.created_ms, token.id))

    def remove_token(self, token_id: str, *, owner: str | None, by: str | None) -> bool:
        found = [token for token in self.tokens(owner) if token.id == token_id]
        for token in found:
            found += [child for child in self.tokens(None) if child.parent == token.id]
            self._forget(token, f"Token {token.id} of {token.owner} was revoked by {by}.")
        return bool(found)

    def forget_tokens(self, owner: str, *, other_than: str | None) -> None:
        for token in self.tokens(owner):
            if token.account != other_than:
                self._forget(token, f"Token {token.id} ended with its user {token.owner}.")

    def token_used(self, token_id: str, now_ms: int) -> None:
        for digest, token in list(self._tokens.items()):
            if token.id == token_id:
                self._tokens[digest] = replace(token, last_used_ms=now_ms)

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        return self._store.audit(page_token=page_token, limit=limit)

    def _forget(self, token: Token, message: str) -> None:
        self._tokens = {digest: kept for digest, kept in self._tokens.items() if kept.id != token.id}
        self._store.record("server", "TOKEN_REVOKED", message)
