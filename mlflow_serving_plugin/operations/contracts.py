"""The contracts of what operations work on: stores, the model registry and the controller's inbox."""

from __future__ import annotations

from typing import Protocol

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.token import Token


class EndpointStore(Protocol):
    """Which models have serving enabled, with which configuration, and what happened to them. Thread-safe."""

    def find(self, workspace: str, name: str) -> Endpoint | None:
        """The endpoint of a model, None when serving is not enabled on the model."""

    def enabled(self) -> list[Endpoint]:
        """Every enabled endpoint, of all workspaces."""

    def enable(
        self, workspace: str, name: str, *, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        """Enable serving; idempotent. Without ``config``, the last one is kept. ``by``: the caller's name."""

    def disable(self, workspace: str, name: str, *, by: str | None) -> bool:
        """Disable serving; False when serving was not enabled."""

    def configure(self, workspace: str, name: str, config: EndpointConfig, *, by: str | None) -> Endpoint:
        """Replace the configuration; NotFoundError when serving is not enabled."""

    def events(
        self, workspace: str, name: str, *, entity: str | None, page_token: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """A page of events, newest first, and the token of the next page; InvalidParameterError for a bad token."""


class TokenAdmin(Protocol):
    """Creates, lists and revokes tokens, and reads the audit. Thread-safe."""

    def add_token(self, token: Token, digest: str) -> None:
        """Store a new token; InvalidParameterError when its owner has too many."""

    def tokens(self, owner: str | None) -> list[Token]:
        """The tokens of one owner, or (None) of all, newest first."""

    def remove_token(self, token_id: str, *, owner: str | None, by: str | None) -> bool:
        """Revoke a token of ``owner``, or (None) of anybody; False when there is no such token."""

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """A page of what people changed, newest first, and the token of the next page."""


class RegisteredModel(Protocol):
    """What operations need of a registered model."""

    @property
    def name(self) -> str:
        """The model's name."""

    @property
    def created_ms(self) -> int:
        """When the model was created, in milliseconds since 1970."""


class ModelLookup(Protocol):
    """Looks registered models up. Thread-safe."""

    def model(self, workspace: str, name: str) -> RegisteredModel:
        """The registered model; NotFoundError when the model does not exist or is a prompt."""
