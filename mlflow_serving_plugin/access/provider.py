"""What is asked of an auth app, without any cache: one implementation for each kind of app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

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
