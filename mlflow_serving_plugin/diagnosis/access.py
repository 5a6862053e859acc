"""The auth app: whether there is one, whether it can start, and whether somebody has the password that all know."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterator
from pathlib import Path

from mlflow_serving_plugin.access import wrapped_app
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, WARNING, Finding, Place
from mlflow_serving_plugin.errors import ConfigurationError

_KNOWN_PASSWORDS = frozenset({"password1234", "password"})
"""Those of MLflow's example of a configuration."""

_LOOPBACK = ("127.", "localhost", "::1")


def auth_app(place: Place) -> Iterator[Finding]:
    """The app that serving is wrapped around."""
    name = place.settings.base_app
    if not name:
        yield _without(place)
        return
    try:
        wrapped_app.find(name)
    except ConfigurationError as error:
        advice = "pip install the app into the server's environment, or correct MLFLOW_SERVING_BASE_APP."
        yield Finding("access", "auth app", ERROR, error.message, advice)
        return
    yield Finding("access", "auth app", OK, name)
    if name == wrapped_app.BASIC_AUTH:
        yield from _basic_auth(place)


def _without(place: Place) -> Finding:
    found = "none: everybody who reaches the server may do everything"
    if place.address is not None and place.address[0].startswith(_LOOPBACK):
        return Finding("access", "auth app", OK, f"{found}, and only this machine reaches it")
    advice = "Start it with --app-name serving-basic-auth, or let a proxy in front of the server ask who calls."
    return Finding("access", "auth app", WARNING, found, advice)


def _basic_auth(place: Place) -> Iterator[Finding]:
    if not place.environ.get("MLFLOW_FLASK_SERVER_SECRET_KEY"):
        advice = 'export MLFLOW_FLASK_SERVER_SECRET_KEY="$(openssl rand -hex 32)", the same at each start.'
        yield Finding("access", "secret key", ERROR, "MLFLOW_FLASK_SERVER_SECRET_KEY is not set.", advice)
    else:
        yield Finding("access", "secret key", OK, "set")
    password, problem = _admin_password(place)
    if problem:
        advice = "MLFLOW_AUTH_CONFIG_PATH names an ini file with the section [mlflow]."
        yield Finding("access", "configuration", ERROR, problem, advice)
    elif password in _KNOWN_PASSWORDS:
        advice = "Change the admin's password in MLflow, and in the configuration."
        yield Finding("access", "admin", ERROR, "The configuration has the admin password of MLflow's example.", advice)
    else:
        yield Finding("access", "configuration", OK, "read")


def _admin_password(place: Place) -> tuple[str, str]:
    """The password of the configuration, empty when it has none; and what is wrong with the configuration."""
    given = place.environ.get("MLFLOW_AUTH_ADMIN_PASSWORD", "")
    path = place.environ.get("MLFLOW_AUTH_CONFIG_PATH")
    if not path:
        return given, ""
    if not Path(path).is_file() or not os.access(path, os.R_OK):
        return given, "The file of MLFLOW_AUTH_CONFIG_PATH is missing, or this user cannot read it."
    config = configparser.ConfigParser(interpolation=None)
    try:
        config.read(path)
        return given or config.get("mlflow", "admin_password", fallback=""), ""
    except (configparser.Error, UnicodeDecodeError) as error:
        return given, f"The file of MLFLOW_AUTH_CONFIG_PATH cannot be read: {type(error).__name__}."
