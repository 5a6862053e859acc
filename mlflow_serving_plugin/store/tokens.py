"""Tokens, and the server's audit: what people changed, and who. A change and its event are one transaction."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, and_, delete, func, select, update
from sqlalchemy.orm import Session

from mlflow_serving_plugin.domain.events import Event, storable
from mlflow_serving_plugin.domain.token import Scope, Token
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.store.database import for_writing, session_on
from mlflow_serving_plugin.store.store import page_start
from mlflow_serving_plugin.store.tables import EndpointRow, EventRow, TokenRow

MOST_TOKENS = 600
"""Of one owner."""

_AUDITED = ("ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED", "ENDPOINT_DISABLED", "TOKEN_CREATED", "TOKEN_REVOKED")
"""Events of what people do; all others are of what becomes of it."""

_OF_THE_SERVER = "server"
"""Stands for the endpoint in events of none."""


class TokenStore:
    """All reading and writing of tokens. Thread-safe."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._writing = for_writing(engine)

    def add_token(self, token: Token, digest: str) -> None:
        """Keep a new token; InvalidParameterError when its owner has too many."""
        with session_on(self._writing) as session:
            held = session.scalar(select(func.count()).select_from(TokenRow).where(TokenRow.owner == token.owner))
            if (held or 0) >= MOST_TOKENS:
                raise InvalidParameterError(f"You have {held} tokens, which is the most: delete one first.")
            session.add(_row(token, digest))
            what = f" for model '{token.scope.name}' only" if token.scope else ""
            _record(session, "TOKEN_CREATED", f"Token {token.id}{what} was created by {token.owner}.")

    def find_token(self, digest: str) -> Token | None:
        """The token with this SHA-256."""
        with session_on(self._engine) as session:
            row = session.scalars(select(TokenRow).where(TokenRow.digest == digest)).one_or_none()
            return _token(row) if row is not None else None

    def tokens(self, owner: str | None) -> list[Token]:
        """The tokens of one owner, or of all, newest first."""
        query = select(TokenRow).order_by(TokenRow.created_ms.desc(), TokenRow.id)
        if owner is not None:
            query = query.where(TokenRow.owner == owner)
        with session_on(self._engine) as session:
            return [_token(row) for row in session.scalars(query)]

    def remove_token(self, token_id: str, *, owner: str | None, by: str | None) -> bool:
        """Revoke a token, of ``owner`` or (None) of anybody; False when there is no such one."""
        with session_on(self._writing) as session:
            row = session.get(TokenRow, token_id, with_for_update=True)
            if row is None or owner not in {None, row.owner}:
                return False
            _record(session, "TOKEN_REVOKED", f"Token {row.id} of {row.owner} was revoked by {by}.")
            session.delete(row)
            return True

    def forget_tokens(self, owner: str, *, other_than: str | None) -> None:
        """Remove the tokens of an owner whose account is gone: not ``other_than``, the present one."""
        gone = TokenRow.owner == owner
        if other_than is not None:
            gone = and_(gone, TokenRow.account != other_than)
        with session_on(self._writing) as session:
            for row in session.scalars(select(TokenRow).where(gone)).all():
                _record(session, "TOKEN_REVOKED", f"Token {row.id} ended with its user {row.owner}.")
                session.execute(delete(TokenRow).where(TokenRow.id == row.id))

    def token_used(self, token_id: str, now_ms: int) -> None:
        """Note when it was used."""
        with session_on(self._writing) as session:
            session.execute(update(TokenRow).where(TokenRow.id == token_id).values(last_used_ms=now_ms))

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """A page of what people changed, newest first, and the next page's token. ``name`` is empty for tokens."""
        query = select(EventRow, EndpointRow).outerjoin(EndpointRow, EndpointRow.id == EventRow.endpoint_id)
        query = query.where(EventRow.type.in_(_AUDITED))
        if page_token is not None:
            query = query.where(EventRow.id < page_start(page_token))
        with session_on(self._engine) as session:
            rows = session.execute(query.order_by(EventRow.id.desc()).limit(limit + 1)).all()
        page = [_event(event, endpoint) for event, endpoint in rows[:limit]]
        return page, str(rows[limit - 1][0].id) if len(rows) > limit else None


def _record(session: Session, kind: str, message: str) -> None:
    now = int(time.time() * 1000)
    session.add(
        EventRow(endpoint_id=_OF_THE_SERVER, timestamp_ms=now, version=None, type=kind, message=storable(message))
    )


def _event(event: Any, endpoint: Any) -> Event:
    workspace, name = (endpoint.workspace, endpoint.name) if endpoint is not None else ("", "")
    return Event(event.timestamp_ms, workspace, name, event.version, event.type, event.message)


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
    )


def _token(row: TokenRow) -> Token:
    scope = Scope(row.scope_workspace or "", row.scope_name) if row.scope_name is not None else None
    return Token(row.id, row.owner, row.account, row.comment, row.created_ms, row.expiry_ms, scope, row.last_used_ms)
