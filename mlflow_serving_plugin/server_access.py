"""Who may call this server: the wrapped app's users and our tokens, as every process that serves requests asks."""

from __future__ import annotations

from functools import partial
from typing import Any

from mlflow_serving_plugin.access import wrapped_app
from mlflow_serving_plugin.access.base import Access, User
from mlflow_serving_plugin.access.guarded import GuardedAccess
from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.access.tokens import TokenAuthenticator
from mlflow_serving_plugin.access.worker_tokens import WorkerTokens
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import PASSWORDS
from mlflow_serving_plugin.registry import mlflow_server
from mlflow_serving_plugin.registry.signal import watch_deleted_users
from mlflow_serving_plugin.registry.workspaces import in_workspace
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.store.tokens import TokenStore
from mlflow_serving_plugin.store.worker_tokens import WorkerTokenStore
from mlflow_serving_plugin.tracking_door import AsgiTrackingDoor, WsgiTrackingDoor


def make_access(settings: Settings, inner: Any, tokens: TokenStore, metrics: Metrics) -> Access:
    """Authentication by the wrapped app and our tokens; none without a wrapped app."""
    if not settings.base_app:
        return NoAuth()
    flask_app = mlflow_server.flask_app()
    provider = wrapped_app.provider_for(
        settings.base_app, inner, flask_app, mlflow_server.static_prefix(), in_workspace
    )

    def forget(name: str) -> None:
        tokens.forget_tokens(name, other_than=None)
        WorkerTokenStore(tokens.engine).forget_tracking_owner(name)

    watch_deleted_users(flask_app, forget)
    wrapped_app.forget_with_user(settings.base_app, forget)
    authenticator = TokenAuthenticator(tokens, provider.account, challenge=provider.challenge)
    return GuardedAccess(
        provider,
        authenticator,
        cache_s=settings.auth_cache_s,
        outage_s=settings.auth_outage_s,
        report=partial(metrics.count, PASSWORDS),
    )


def let_workers_in(settings: Settings, inner: Any, access: Access, store: WorkerTokenStore) -> Any | None:
    """The wrapped app with a door for workers that have a token; None where MLflow's API cannot take their tokens."""
    credentials_of = wrapped_app.accept_owners(settings.base_app) if settings.base_app else None
    if credentials_of is None:
        return None
    tokens = WorkerTokens(store, access, lambda name: access.account(User(name)), credentials_of)
    door = AsgiTrackingDoor if mlflow_server.under_uvicorn() else WsgiTrackingDoor
    return door(inner, tokens, mlflow_server.static_prefix())
