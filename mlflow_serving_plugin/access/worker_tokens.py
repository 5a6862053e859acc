"""Tokens of workers: with ``tracking: on`` a model's code calls MLflow's own API with the rights of its owner.

A worker's token is no token of ours elsewhere: the scoring and control APIs, and MLflow's API for users, permissions
and secrets, refuse it. The model's code knows the token, and so does everybody who can make the model's code tell.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from mlflow_serving_plugin.access.base import Access, Permission, User
from mlflow_serving_plugin.access.cache import ShortCache
from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.domain.tracking import WorkerToken
from mlflow_serving_plugin.errors import PermissionDeniedError, UnauthenticatedError

_BEARER = re.compile(r"bearer +(mlst_[A-Za-z0-9_-]{43}) *", re.IGNORECASE)
_OPEN = re.compile(
    # What models log to and load from. Not users, permissions, roles, workspaces' changes, webhooks, jobs, scorers,
    # gateway secrets and GraphQL: a new path of MLflow's is closed until it is known here.
    r"/(?:ajax-)?api/[23]\.0/?mlflow/(?:artifacts|assessments|datasets|experiments|logged-models|metrics|model-versions"
    r"|registered-models|runs|traces|get-trace-artifact|upload-artifact|server-info)(?:/.*)?"
    r"|/(?:ajax-)?api/2\.0/mlflow-artifacts/(?:artifacts|mpu|presigned)(?:/.*)?"
    r"|/v1/traces|/get-artifact|/model-versions/get-artifact|/version|/health"
)
_CLOSED = re.compile(r"/(?:permissions|webhooks|scorers)(?:/|$)")
_S = 1.0
"""How long a token counts without a look-up: a token that was revoked is refused everywhere after this time."""


class WorkerTokenReader(Protocol):
    """What is needed of the store of tokens. Thread-safe."""

    def find_worker_token(self, digest: str) -> WorkerToken | None:
        """The token with this SHA-256, if its endpoint still is as at its start."""

    def worker_token_refused(self, token: WorkerToken, reason: str) -> None:
        """Tell once that the owner has lost the rights that the token needs."""


def new_worker_token() -> str:
    """A token's value: 32 random bytes."""
    return "mlst_" + secrets.token_urlsafe(32)


def worker_token_in(authorization: str) -> str | None:
    """The token of a worker in an Authorization header."""
    found = _BEARER.fullmatch(authorization)
    return found.group(1) if found else None


def is_open(path: str) -> bool:
    """Whether a worker's token is good for a path of MLflow's. ``path``: decoded, without the static prefix."""
    return _OPEN.fullmatch(path) is not None and _CLOSED.search(path) is None


@dataclass(frozen=True, slots=True)
class WorkerTokens:
    """Lets workers into MLflow's API. Thread-safe; ``credentials_for`` blocks.

    ``account_of``: a user's present account, None when the user has none. ``credentials_of``: the header Authorization
    with which MLflow takes a request for one of the user's.
    """

    store: WorkerTokenReader
    access: Access
    account_of: Callable[[str], str | None]
    credentials_of: Callable[[str], str]
    clock: Callable[[], float] = time.time
    _found: ShortCache[str, WorkerToken | UnauthenticatedError] = field(default_factory=ShortCache)

    def credentials_for(self, value: str, path: str) -> str:
        """The header Authorization of the token's owner; UnauthenticatedError, PermissionDeniedError."""
        if not is_open(path):
            raise PermissionDeniedError("A model's code cannot use this part of the server, whoever owns its endpoint.")
        digest = digest_of(value)
        token = self._found.fetch(digest, lambda: self._look_up(digest), _S)
        if isinstance(token, UnauthenticatedError):
            raise UnauthenticatedError(token.message, challenge=token.challenge)
        return self.credentials_of(token.owner)

    def _look_up(self, digest: str) -> WorkerToken | UnauthenticatedError:
        token = self.store.find_worker_token(digest)
        if token is None or token.expiry_ms <= self.clock() * 1000:
            return _refusal("This worker's token is not valid any more: tracking was switched off, or on by another.")
        if self.account_of(token.owner) != token.account:
            return self._lost(token, f"User {token.owner} does not exist any more.")
        if self.access.permission(User(token.owner), token.workspace, token.model) < Permission.MANAGE:
            return self._lost(token, f"User {token.owner} may not manage registered model '{token.model}' any more.")
        return token

    def _lost(self, token: WorkerToken, reason: str) -> UnauthenticatedError:
        self.store.worker_token_refused(token, reason)
        return _refusal(f"This worker's token is not valid: {reason} Switch tracking on again as another user.")


def _refusal(message: str) -> UnauthenticatedError:
    return UnauthenticatedError(message, challenge='Bearer realm="mlflow"')
