"""Creating, listing and revoking tokens, and the audit. Users handle their own tokens, admins everybody's."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from mlflow_serving_plugin.access.base import Access, User, require_admin
from mlflow_serving_plugin.access.tokens import digest_of, new_token
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.token import NEVER, Scope, Token, earlier
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, PermissionDeniedError
from mlflow_serving_plugin.registry.models import RegisteredModel
from mlflow_serving_plugin.store.tokens import TokenStore


@dataclass(frozen=True, slots=True)
class TokenOperations:
    """The operations, on the server's collaborators. ``clock`` gives seconds since 1970. Thread-safe."""

    store: TokenStore
    access: Access
    readable: Callable[[User, str, str], RegisteredModel]
    """A registered model that the user may read, by workspace and name; NotFoundError for any other."""
    clock: Callable[[], float] = time.time

    def add(
        self,
        caller: User,
        workspace: str,
        *,
        comment: str = "",
        lifetime_s: int | None = None,
        model: str | None = None,
    ) -> tuple[str, Token]:
        """Create a token for the caller: its value, which is not stored, and its description.

        ``lifetime_s`` None: the token never expires. ``model``: the token scores this one model only. A caller with a
        token gets a token that ends with the caller's, also when that one is revoked.
        """
        account = self._account(caller)
        scope = None if model is None else Scope(workspace, self.readable(caller, workspace, model).name)
        value, now_ms = new_token(), int(self.clock() * 1000)
        token = Token(
            id=uuid.uuid4().hex,
            owner=str(caller.name),
            account=account,
            comment=comment,
            created_ms=now_ms,
            # A token that outlived the token with which it was created would make that one's lifetime pointless.
            expiry_ms=earlier(NEVER if lifetime_s is None else now_ms + lifetime_s * 1000, caller.token_expiry_ms),
            scope=scope,
            parent=caller.token_id,
        )
        self.store.add_token(token, digest_of(value))
        return value, token

    def find_all(self, caller: User) -> list[Token]:
        """The caller's tokens; for an admin, everybody's."""
        self._account(caller)
        return self.store.tokens(self._whose(caller))

    def revoke(self, caller: User, token_id: str) -> None:
        """Revoke a token of the caller's; an admin may revoke anybody's. NotFoundError."""
        self._account(caller)
        if not self.store.remove_token(token_id, owner=self._whose(caller), by=caller.name):
            raise NotFoundError("You have no token with this token_id.")

    def audit(self, caller: User, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """A page of what people changed, newest first, and the token of the next page. Admins only."""
        require_admin(self.access, caller, "the audit")
        return self.store.audit(page_token=page_token, limit=limit)

    def _whose(self, caller: User) -> str | None:
        return None if self.access.is_admin(caller) else caller.name

    def _account(self, caller: User) -> str:
        """The account that the caller's tokens belong to."""
        if caller.scope is not None:
            raise PermissionDeniedError("A token for one model cannot see or change tokens.")
        account = self.access.account(caller)
        if account is None:
            raise InvalidParameterError(
                "This server has no users that tokens could belong to. Tokens need basic-auth or oidc-auth."
            )
        return account
