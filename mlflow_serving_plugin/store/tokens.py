"""Tokens. A change and its event are one transaction."""

from __future__ import annotations

from sqlalchemy import and_, delete, func, select, update

from mlflow_serving_plugin.domain.events import storable
from mlflow_serving_plugin.domain.token import Scope, Token
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.store.database import locked, session_on
from mlflow_serving_plugin.store.events import EventLog, record
from mlflow_serving_plugin.store.tables import TokenRow

MOST_TOKENS = 600
"""Of one owner."""


class TokenStore(EventLog):
    """Tokens, beside the events that tell of them. Thread-safe."""

    def add_token(self, token: Token, digest: str) -> None:
        """Keep a new token; InvalidParameterError when its owner has too many."""
        with session_on(self._writing) as session:
            held = session.scalar(select(func.count()).select_from(TokenRow).where(TokenRow.owner == token.owner))
            if (held or 0) >= MOST_TOKENS:
                raise InvalidParameterError(f"You have {held} tokens, which is the most: delete one first.")
            session.add(_row(token, digest))
            what = f" for model '{token.scope.name}' only" if token.scope else ""
            record(session, None, "TOKEN_CREATED", f"Token {token.id}{what} was created by {token.owner}.")

    def find_token(self, digest: str) -> Token | None:
        """The token with this SHA-256."""
        with session_on(self.engine) as session:
            row = session.scalars(select(TokenRow).where(TokenRow.digest == digest)).one_or_none()
            return _token(row) if row is not None else None

    def tokens(self, owner: str | None) -> list[Token]:
        """The tokens of one owner, or of all, newest first."""
        query = select(TokenRow).order_by(TokenRow.created_ms.desc(), TokenRow.id)
        if owner is not None:
            query = query.where(TokenRow.owner == owner)
        with session_on(self.engine) as session:
            return [_token(row) for row in session.scalars(query)]

    def remove_token(self, token_id: str, *, owner: str | None, by: str | None) -> bool:
        """Revoke a token of ``owner``, or (None) of any user, and all that were created with the token.

        False when there is no such token.
        """
        with session_on(self._writing) as session:
            query = select(TokenRow).where(TokenRow.id == token_id)
            row = session.scalars(locked(query, TokenRow)).one_or_none()
            if row is None or owner not in {None, row.owner}:
                return False
            rows = [row]
            for row in rows:
                rows += session.scalars(select(TokenRow).where(TokenRow.parent == row.id)).all()
                record(session, None, "TOKEN_REVOKED", f"Token {row.id} of {row.owner} was revoked by {by}.")
            for row in rows:
                session.delete(row)
            return True

    def forget_tokens(self, owner: str, *, other_than: str | None) -> None:
        """Remove the tokens of an owner whose account is gone: not ``other_than``, the present one."""
        gone = TokenRow.owner == owner
        if other_than is not None:
            gone = and_(gone, TokenRow.account != other_than)
        with session_on(self._writing) as session:
            for row in session.scalars(select(TokenRow).where(gone)).all():
                record(session, None, "TOKEN_REVOKED", f"Token {row.id} ended with its user {row.owner}.")
                session.execute(delete(TokenRow).where(TokenRow.id == row.id))

    def token_used(self, token_id: str, now_ms: int) -> None:
        """Note when it was used."""
        with session_on(self._writing) as session:
            session.execute(update(TokenRow).where(TokenRow.id == token_id).values(last_used_ms=now_ms))


def _row(token: Token, digest: str) -> TokenRow:
    return TokenRow(
        id=token.id,
        digest=digest,
        owner=token.owner,
        account=token.account,
        comment=storable(token.comment),
        created_ms=token.created_ms,
        expiry_ms=token.expiry_ms,
        scope_workspace=token.scope.workspace if token.scope else None,
        scope_name=token.scope.name if token.scope else None,
        last_used_ms=token.last_used_ms,
        parent=token.parent,
    )


def _token(row: TokenRow) -> Token:
    scope = Scope(row.scope_workspace or "", row.scope_name) if row.scope_name is not None else None
    return Token(
        id=row.id,
        owner=row.owner,
        account=row.account,
        comment=row.comment,
        created_ms=row.created_ms,
        expiry_ms=row.expiry_ms,
        scope=scope,
        last_used_ms=row.last_used_ms,
        parent=row.parent,
    )
