"""The entry point: ``mlflow server --app-name serving`` takes ``app`` from here, in each web worker.

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
from typing import Any

_logger = logging.getLogger(__name__)
_making = threading.Lock()


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlflow_serving_plugin.registry import mlflow_server
    from mlflow_serving_plugin.worker.process import hide_from_other_processes

    # This process has the server's secrets in its variables and memory.
    hide_from_other_processes()
    if sys.platform.startswith("linux"):
        from mlflow_serving_plugin.worker.isolation.rights import keep_for_a_server

        # What the command gives up, its web workers never have.
        keep_for_a_server()
    if mlflow_server.is_cli_parent():
        _prepare()
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
    from mlflow_serving_plugin import composition
    from mlflow_serving_plugin.registry.internals import changed_parts, mlflow_version

    log_to_stderr()
    if mlflow_server.artifacts_only():
        _logger.info("Serving is off: a server with --artifacts-only has no model registry.")
        return composition.inner_app()
    try:
        app = composition.compose()
    except (AttributeError, ImportError, TypeError):
        # MLflow's own pages and API are worth more than a server that does not start.
        _logger.exception("Serving is off, MLflow runs: MLflow %s is not as this plugin knows it.", mlflow_version())
        app = composition.inner_app()
    # The auth app is loaded now.
    for part in changed_parts():
        _logger.warning("%s MLflow %s has no %s.", part.consequence, mlflow_version(), part.missing)
    return app


def _prepare() -> None:
    """What the wrapped app needs done once, in the ``mlflow server`` command; one line of error when it cannot be."""
    import click
    from mlflow.exceptions import MlflowException

    from mlflow_serving_plugin.access import wrapped_app
    from mlflow_serving_plugin.errors import ConfigurationError
    from mlflow_serving_plugin.grpc_service import require_grpc
    from mlflow_serving_plugin.host.paths import StatePaths
    from mlflow_serving_plugin.registry import mlflow_server
    from mlflow_serving_plugin.registry.internals import refuse_old_mlflow
    from mlflow_serving_plugin.settings import Settings, unknown_variables

    try:
        refuse_old_mlflow()
        settings = Settings.from_environ(os.environ)
        log_to_stderr()
        for sentence in unknown_variables(os.environ):
            _logger.warning("%s", sentence)
        if settings.state_dir:
            # Here, because web workers that cannot start are started again without an end.
            StatePaths.create(Path(settings.state_dir))
        require_grpc(settings)
        mlflow_server.hand_out_address()
        if name := settings.base_app:
            wrapped_app.prepare(name)
    except (ConfigurationError, MlflowException, ImportError) as error:
        # MLflow's own errors say what to install or to set, at the end of a page of traceback.
        raise click.ClickException(str(error)) from error


def log_to_stderr() -> None:
    """Our INFO lines beside MLflow's own; without this only warnings would show."""
    logger = logging.getLogger("mlflow_serving_plugin")
    if not logger.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s serving: %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
