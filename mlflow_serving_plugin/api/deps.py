"""What the control API needs from the rest of the server, and the contracts of its two collaborators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from flask import Flask

from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.forgery import BrowserRules
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.endpoint import Endpoint
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.domain.token import Token
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.settings import Settings


class EndpointStore(Protocol):
    """Which models have serving enabled, how, and what happened to them. Thread-safe."""

    def find(self, workspace: str, name: str) -> Endpoint | None:
        """The endpoint of a model, None when serving is not enabled on it."""

    def enabled(self) -> list[Endpoint]:
        """Every enabled endpoint, of all workspaces."""

    def enable(
        self, workspace: str, name: str, *, model_created_ms: int, config: EndpointConfig | None, by: str | None
    ) -> Endpoint:
        """Enable serving; again is a no-op. Without ``config``, that of an earlier time counts. ``by``: the caller."""

    def disable(self, workspace: str, name: str, *, by: str | None) -> bool:
        """Disable serving; False when it was not enabled."""

    def configure(self, workspace: str, name: str, config: EndpointConfig, *, by: str | None) -> Endpoint:
        """Replace the configuration; NotFoundError when serving is not enabled."""

    def events(
        self, workspace: str, name: str, *, version: int | None, page_token: str | None, limit: int
    ) -> tuple[list[Event], str | None]:
        """A page of events, newest first, and the token of the next one; InvalidParameterError for a bad token."""


class TokenStore(Protocol):
    """Tokens, and the audit that tells of them. Thread-safe."""

    def add_token(self, token: Token, digest: str) -> None:
        """Keep a new token; InvalidParameterError when its owner has too many."""

    def tokens(self, owner: str | None) -> list[Token]:
        """The tokens of one owner, or of all, newest first."""

    def remove_token(self, token_id: str, *, owner: str | None, by: str | None) -> bool:
        """Revoke a token, of ``owner`` or (None) of anybody; False when there is no such one."""

    def audit(self, *, page_token: str | None, limit: int) -> tuple[list[Event], str | None]:
        """A page of what people changed, newest first, and the token of the next one."""


class RegisteredModel(Protocol):
    """What is asked of a registered model."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def created_ms(self) -> int:
        """When it was created, in milliseconds since 1970."""


class ModelLookup(Protocol):
    """Looks registered models up. Thread-safe."""

    def model(self, workspace: str, name: str) -> RegisteredModel:
        """The registered model; NotFoundError when it does not exist or is a prompt."""


@dataclass(frozen=True, slots=True)
class ApiDeps:
    """Everything the control API is given. ``static_prefix`` is MLflow's ``--static-prefix``, or empty."""

    settings: Settings
    paths: StatePaths
    snapshot: SnapshotReader
    store: EndpointStore
    registry: ModelLookup
    access: Access
    tokens: TokenStore
    metrics: Metrics
    static_prefix: str
    secure: Callable[[Flask], None]
    """Puts MLflow's host and cross-origin checks on the app; nothing where this MLflow has none."""
    workspaces: bool = False
    """Whether the server has workspaces."""
    browser_rules: BrowserRules | None = None
    """Which pages may change something; None: the server runs without such checks."""
