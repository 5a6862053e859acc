"""What an auth app is asked, before anything is remembered: one implementation for each kind of app."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from mlflow_serving_plugin.access.base import Permission, User
from mlflow_serving_plugin.errors import UnauthenticatedError


class Provider(Protocol):
    """Asks the auth app, each time anew. Thread-safe; blocks."""

    challenge: str
    """For the header WWW-Authenticate."""

    def credentials(self, headers: Mapping[str, str]) -> bytes:
        """All of the headers that ``authenticate`` goes by."""

    def authenticate(self, headers: Mapping[str, str]) -> User:
        """The caller; UnauthenticatedError."""

    def permission(self, user: User, workspace: str, name: str) -> Permission:
        """What the user may do with the model, as an admin too."""

    def is_admin(self, user: User) -> bool:
        """Whether the user is an admin of the server."""

    def account(self, name: str) -> str | None:
        """What names the user's account for as long as it exists; None when there is no such (active) user."""


def unauthenticated(headers: Mapping[str, str], challenge: str = 'Basic realm="mlflow"') -> UnauthenticatedError:
    """The refusal of a caller without credentials, or with wrong ones."""
    given = "authorization" in headers
    return UnauthenticatedError(
        "These credentials are wrong." if given else "This server wants to know who you are: send credentials.",
        challenge=challenge,
    )


def picked(headers: Mapping[str, str], *names: str) -> bytes:
    """Some headers as bytes that tell any two sets of values apart."""
    return "\x00".join(headers.get(name, "\x01") for name in names).encode("utf-8", "surrogatepass")


def everything_but_noise(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that may say who calls, for an auth app of which nothing is known."""
    return {name: value for name, value in headers.items() if name not in _NOISE}


_NOISE = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-encoding"),
        *("content-length", "content-type", "expect", "pragma", "server-timing", "transfer-encoding", "user-agent"),
        *("x-request-id",),
    }
)
