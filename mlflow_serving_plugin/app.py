"""The composition root: ``mlflow server --app-name serving`` takes ``app`` from here, in each web worker.

``app`` comes into being when it is asked for (PEP 562). It is an app and not a factory, because MLflow (3.17) starts
a factory under waitress with a name that waitress refuses. The ``mlflow server`` command itself asks too, just to
see what kind of thing it is, and gets a placeholder.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlflow_serving_plugin import composition

if TYPE_CHECKING:
    from mlflow_serving_plugin.host.paths import StatePaths
    from mlflow_serving_plugin.settings import Settings
    from mlflow_serving_plugin.store.store import Store

_logger = logging.getLogger(__name__)
_making = threading.Lock()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlflow_serving_plugin.registry import mlflow_server

    if mlflow_server.is_cli_parent():
        composition.prepare()
        return "the app of a web worker"
    with _making:
        if "app" not in globals():
            globals()["app"] = create_app()
    return globals()["app"]


def create_app() -> Any:
    """MLflow's app with serving around it: ASGI under uvicorn, WSGI elsewhere."""
    from mlflow_serving_plugin.registry import mlflow_server

    if sys.platform == "win32":
        raise RuntimeError("mlflow-serving-plugin needs Linux or macOS; it does not run on Windows yet.")
    _log_to_stderr()
    if mlflow_server.artifacts_only():
        _logger.info("Serving is off: a server with --artifacts-only has no model registry.")
        return composition.inner_app()
    return _compose()


def _compose() -> Any:
    from mlflow_serving_plugin.access.server_rules import browser_rules
    from mlflow_serving_plugin.api.app import create_api
    from mlflow_serving_plugin.api.deps import ApiDeps
    from mlflow_serving_plugin.background import WebWorkerParts
    from mlflow_serving_plugin.dispatch import AsgiDispatch, WsgiDispatch
    from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE
    from mlflow_serving_plugin.gateway.asgi import AsgiGateway
    from mlflow_serving_plugin.gateway.core import Gateway, HostServices
    from mlflow_serving_plugin.gateway.wsgi import WsgiGateway
    from mlflow_serving_plugin.host.messages import Nudge, send_nudge
    from mlflow_serving_plugin.host.snapshot import SnapshotReader
    from mlflow_serving_plugin.metrics.counting import Metrics
    from mlflow_serving_plugin.registry import mlflow_server
    from mlflow_serving_plugin.registry.reader import RegistryReader
    from mlflow_serving_plugin.registry.signal import watch_registry
    from mlflow_serving_plugin.registry.workspaces import in_workspace, workspaces_enabled
    from mlflow_serving_plugin.settings import Settings
    from mlflow_serving_plugin.store.tokens import TokenStore
    from mlflow_serving_plugin.ui.pages import add_serving_tab

    settings = Settings.from_environ(os.environ)
    paths, store = open_state(settings)
    snapshot, tokens = SnapshotReader(paths.routes), TokenStore(store.engine)
    registry = RegistryReader(mlflow_server.registry_store, in_workspace)
    metrics = Metrics(paths.metrics)
    parts = WebWorkerParts(settings, paths, store, metrics)
    inner = composition.inner_app()
    access = composition.make_access(settings, inner, tokens)
    flask_app = mlflow_server.flask_app()
    watch_registry(flask_app, lambda header, name: send_nudge(paths.nudges, Nudge(header or DEFAULT_WORKSPACE, name)))
    add_serving_tab(flask_app, mlflow_server.static_prefix())
    rules = browser_rules(authenticated=bool(settings.base_app))
    api = create_api(
        ApiDeps(
            settings=settings,
            paths=paths,
            snapshot=snapshot,
            store=store,
            registry=registry,
            access=access,
            tokens=tokens,
            metrics=metrics,
            workspaces=workspaces_enabled(),
            browser_rules=rules,
            static_prefix=mlflow_server.static_prefix(),
            secure=mlflow_server.secure,
        )
    )
    gateway = Gateway(
        settings,
        snapshot,
        access,
        HostServices(paths.nudges, paths.lock("suspects"), metrics),
        browser_rules=rules,
        workspaces=workspaces_enabled(),
    )
    if mlflow_server.under_uvicorn():
        # A second Ctrl-C, such as `mlflow server` hands on beside the terminal's own, makes uvicorn leave out lifespan.
        parts.stop_at_exit()
        return AsgiDispatch(inner, api, AsgiGateway(gateway), parts, mlflow_server.static_prefix())
    parts.ensure_started()
    parts.stop_at_exit()
    parts.stop_early(lambda: gateway.busy)
    return WsgiDispatch(inner, api, WsgiGateway(gateway), parts, mlflow_server.static_prefix())


def open_state(settings: Settings) -> tuple[StatePaths, Store]:
    """The state directory and the tables of this server, made if need be."""
    from mlflow_serving_plugin.environments.environments import environments_root
    from mlflow_serving_plugin.host.paths import StatePaths
    from mlflow_serving_plugin.registry import mlflow_server
    from mlflow_serving_plugin.settings import default_state_dir
    from mlflow_serving_plugin.store.database import database_uri_for, open_database, upgrade
    from mlflow_serving_plugin.store.store import Store

    backend = _absolute(mlflow_server.backend_store_uri())
    paths = StatePaths.create(Path(settings.state_dir) if settings.state_dir else default_state_dir(backend))
    environments_root(settings, paths.environments)
    engine = open_database(settings.database_uri or database_uri_for(backend, paths.root))
    # MLflow checks its own tables when the store is opened first; ours come after.
    mlflow_server.registry_store()
    upgrade(engine, paths.lock("database"))
    return paths, Store(engine)


def _absolute(uri: str) -> str:
    """A relative SQLite or file URI means another database in another directory."""
    scheme, separator, path = uri.partition(":///")
    if separator and scheme.startswith("sqlite") and path and not path.startswith("/"):
        return f"{scheme}:///{Path(path).absolute()}"
    if "://" not in uri:
        return str(Path(uri).absolute())
    return uri


def _log_to_stderr() -> None:
    """Our INFO lines beside MLflow's own; without this only warnings would show."""
    logger = logging.getLogger("mlflow_serving_plugin")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s serving: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
