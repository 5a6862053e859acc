"""What serving is wrapped around, and who guards it: the part of the composition root that ``base_app`` decides."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow_serving_plugin.access.base import Access
    from mlflow_serving_plugin.settings import Settings
    from mlflow_serving_plugin.store.tokens import TokenStore


def prepare() -> None:
    """What the wrapped app needs done once, in the ``mlflow server`` command; one line of error when it cannot be."""
    import click
    from mlflow.exceptions import MlflowException

    from mlflow_serving_plugin.access import wrapped_app
    from mlflow_serving_plugin.errors import ConfigurationError

    try:
        if name := _base_app():
            wrapped_app.prepare(name)
    except (ConfigurationError, MlflowException, ImportError) as error:
        # MLflow's own say what to install or to set, at the end of a page of traceback.
        raise click.ClickException(str(error)) from error


def inner_app() -> Any:
    """The wrapped app, or MLflow's without one; ASGI under uvicorn, WSGI elsewhere."""
    from mlflow_serving_plugin.access import wrapped_app
    from mlflow_serving_plugin.registry import mlflow_server

    name = _base_app()
    return wrapped_app.load(name, under_uvicorn=mlflow_server.under_uvicorn()) if name else mlflow_server.mlflow_app()


def make_access(settings: Settings, inner: Any, tokens: TokenStore) -> Access:
    """Who guards the server: the wrapped app and our tokens, or nobody."""
    from mlflow_serving_plugin.access import wrapped_app
    from mlflow_serving_plugin.access.guarded import GuardedAccess
    from mlflow_serving_plugin.access.noauth import NoAuth
    from mlflow_serving_plugin.access.tokens import TokenAuthenticator
    from mlflow_serving_plugin.registry import mlflow_server
    from mlflow_serving_plugin.registry.workspaces import in_workspace

    if not settings.base_app:
        return NoAuth()
    flask_app = mlflow_server.flask_app()
    provider = wrapped_app.provider_for(
        settings.base_app, inner, flask_app, mlflow_server.static_prefix(), in_workspace
    )

    def forget(name: str) -> None:
        tokens.forget_tokens(name, other_than=None)

    _forget_with_user(flask_app, forget)
    wrapped_app.forget_with_user(settings.base_app, forget)
    authenticator = TokenAuthenticator(tokens, provider.account, challenge=provider.challenge)
    return GuardedAccess(provider, authenticator, cache_s=settings.auth_cache_s, outage_s=settings.auth_outage_s)


def _forget_with_user(app: Any, forget: Callable[[str], None]) -> None:
    """End a user's tokens when MLflow deletes the user: a database may give the number of the row again."""
    from flask import request

    @app.after_request  # type: ignore[untyped-decorator]
    def tell(response: Any) -> Any:
        rule = request.url_rule.rule if request.url_rule else ""
        if request.method == "DELETE" and rule.endswith("/mlflow/users/delete") and response.status_code < 400:
            body = request.get_json(silent=True)
            name = body.get("username") if isinstance(body, dict) else None
            if isinstance(name, str):
                forget(name)
        return response


def _base_app() -> str:
    from mlflow_serving_plugin.settings import Settings

    return Settings.from_environ(os.environ).base_app
