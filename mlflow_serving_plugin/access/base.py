"""The contract of authentication: who the caller is, and what the caller may do with a registered model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import NamedTuple, Protocol

from mlflow_serving_plugin.domain.token import NEVER, Scope
from mlflow_serving_plugin.errors import PermissionDeniedError, ServingError


class Permission(IntEnum):
    """What a user may do with one registered model. READ: score and look. MANAGE: also enable and configure."""

    NONE = 0
    READ = 1
    MANAGE = 2


@dataclass(frozen=True, slots=True)
class User:
    """A caller. ``name`` is None on a server without authentication."""

    name: str | None
    scope: Scope | None = None
    """The one model that the caller's token is limited to; None: no limit."""
    token_id: str | None = None
    """The token that the caller sent; None for a user's own credentials."""
    token_expiry_ms: int = NEVER
    credentials: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    """Headers for requests to the wrapped app in the caller's name, where only that app can check them."""


class Check(Enum):
    """What ``identify`` has to check of a request. Each kind waits in a line of its own."""

    TOKEN = auto()
    KNOWN_PASSWORD = auto()
    """Credentials that were right before: a slow hash all the same, but no guess."""
    PASSWORD = auto()
    """All other credentials, guesses among them."""


class Grant(NamedTuple):
    """Who the caller is, and what the caller may do with the model that was asked about."""

    caller: User
    permission: Permission


class Access(Protocol):
    """Identifies callers and looks up their permission on a registered model. Thread-safe.

    All methods but ``check``, ``recall`` and ``refuse_guess`` may block: checking a password's hash takes 78 ms, and a
    database may be slow.
    """

    blocking: bool
    """Whether the methods do block, so that an event loop must not call them."""

    def identify(self, headers: Mapping[str, str], address: str = "") -> User:
        """The caller, from request headers with lower-case names; UnauthenticatedError if there is none.

        ``address``: the client's. TooManyRequestsError when the client has to wait before it may try a password.
        """

    def check(self, headers: Mapping[str, str]) -> Check:
        """What ``identify`` has to check, from memory alone."""

    def refuse_guess(self, headers: Mapping[str, str], address: str) -> ServingError | None:
        """The refusal of a password, from memory alone: it is known to be wrong, or has to wait after wrong ones.

        None for every other caller.
        """

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model."""

    def recall(self, headers: Mapping[str, str], workspace: str, name: str) -> Grant | None:
        """The caller and the permission from memory alone; None when either has to be looked up.

        UnauthenticatedError for credentials that are known to be wrong.
        """

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin of the server."""

    def account(self, user: User) -> str | None:
        """An id of the user's account that is never given to another; None where there are no accounts."""


def look_up_grant(
    access: Access, headers: Mapping[str, str], address: str, workspace: str, names: Sequence[str]
) -> Grant:
    """The caller and the least permission on the models, NONE without any; may block. Raises as ``identify`` does."""
    caller = access.identify(headers, address)
    permissions = (access.permission(caller, workspace, name) for name in names)
    return Grant(caller, min(permissions, default=Permission.NONE))


def owner_of(access: Access, user: User) -> dict[str, str] | None:
    """The user as the owner of what a model's code may do; None for a caller who cannot be.

    A token cannot: the model's code could do more than whoever holds the token.
    """
    account = None if user.name is None or user.token_id is not None else access.account(user)
    return None if account is None else {"name": str(user.name), "account": account}


def require_manage(access: Access, user: User, workspace: str, name: str) -> None:
    """PermissionDeniedError unless the user, who may read the model, may also manage it."""
    if access.permission(user, workspace, name) < Permission.MANAGE:
        raise PermissionDeniedError(f"You need MANAGE permission on registered model '{name}' for this.")


def require_admin(access: Access, user: User, what: str) -> None:
    """Raise PermissionDeniedError unless the user is an admin; ``what`` names the thing that only admins see."""
    if not access.is_admin(user):
        raise PermissionDeniedError(f"Only an admin may see {what}.")
