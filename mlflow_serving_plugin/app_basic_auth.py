"""``mlflow server --app-name serving-basic-auth``: short for ``serving`` around ``basic-auth``."""

from __future__ import annotations

import os
from typing import Any

import click

_VARIABLE = "MLFLOW_SERVING_BASE_APP"


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if os.environ.setdefault(_VARIABLE, "basic-auth") != "basic-auth":
        raise click.ClickException(f"--app-name serving-basic-auth contradicts {_VARIABLE}={os.environ[_VARIABLE]}.")
    from mlflow_serving_plugin import app

    return app.app
