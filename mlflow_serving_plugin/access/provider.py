"""What is asked of an auth app, without any cache: one implementation for each kind of app."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_DOES_NOT_EXIST, ErrorCode

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.errors import UnauthenticatedError


class Provider(Protocol):
    """Asks the auth app on each call. Thread-safe; blocks."""

    challenge: str
    """For the header WWW-Authenticate."""

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """The values of all headers that ``authenticate`` depends on."""

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller; UnauthenticatedError."""

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model; MANAGE for an admin."""

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin of the server."""

    def account(self, name: str) -> str | None:
        """An id of the user's account that is never given to another; None when there is no such active user."""


def unauthenticated(headers: Mapping[str, str], challenge: str = 'Basic realm="mlflow"') -> UnauthenticatedError:
    """The refusal of a caller with no or wrong credentials."""
    if "authorization" in headers:
        return UnauthenticatedError("The credentials are wrong.", challenge=challenge)
    message = "Authentication required: send a user name and password, or a token."
    return UnauthenticatedError(message, challenge=challenge)


def picked(headers: Mapping[str, str], *names: str) -> bytes:
    """The named headers as bytes: different for any two sets of values."""
    return "\x00".join(headers.get(name, "\x01") for name in names).encode("utf-8", "surrogatepass")


def everything(headers: Mapping[str, str]) -> bytes:
    """All headers that may identify the caller, as bytes: different for any two sets of headers."""
    return repr(sorted(everything_but_noise(headers).items())).encode()


class AccountsProvider(ABC):
    """The part of a provider that is the same for auth apps with accounts in a database, whose errors are MLflow's."""

    def __init__(self, in_workspace: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._in_workspace = in_workspace

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """The permission that the app grants on the model; NONE for an unknown user or model."""
        try:
            if self.is_admin(user):
                return Permission.MANAGE
            with self._in_workspace(workspace):
                return self._granted(str(user.name), workspace, name)
        except MlflowException as error:
            if _is_missing(error):
                return Permission.NONE
            raise

    def is_admin(self, user: User) -> bool:
        """Whether the app calls the user an admin."""
        return bool(self._user(str(user.name)).is_admin)

    def account(self, name: str) -> str | None:
        """The id of the user's row; None when there is none, or when the account is disabled."""
        try:
            found = self._user(name)
        except MlflowException as error:
            if _is_missing(error):
                return None
            raise
        return str(found.id) if getattr(found, "active", True) else None

    @abstractmethod
    def _user(self, name: str) -> Any:
        """The user's row, with ``id`` and ``is_admin``."""

    @abstractmethod
    def _granted(self, user: str, workspace: str, name: str) -> Permission:
        """The permission of a user who is no admin. Called in the workspace."""


def _is_missing(error: MlflowException) -> bool:
    return bool(error.error_code == ErrorCode.Name(RESOURCE_DOES_NOT_EXIST))


def everything_but_noise(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may identify the caller, for an unknown auth app."""
    return {name: value for name, value in headers.items() if name not in _NOISE}


_NOISE = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-length", "content-type", "expect", "pragma", "server-timing", "transfer-encoding", "user-agent"),
        *("x-request-id",),
    }
)
